// Two clips in lock step: every frame of both is held in memory as a picture, and frame i of both is drawn in the same
// animation frame. There is one clock and one frame number, so the sides cannot drift apart.
(() => {
  const LONGEST_STEP = 100; // ms; a page that stood still must not leap ahead and call what it left out shown

  class Lockstep {
    /** canvases: left and right; changed(): called after every frame that is drawn and every start and stop. */
    constructor(canvases, changed) {
      Object.assign(this, {canvases, changed, sides: [], frames: 0, frame: 0, fps: 8, speed: 1, loop: true});
      Object.assign(this, {playing: false, played: new Set(), position: 0});
    }

    /** Fetch a reel (left frames, then right frames, in slots of one length); its pictures, ready to be drawn. */
    static async fetch(url, frames) {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(`the clips' file answered ${answer.status}`);
      const reel = await answer.arrayBuffer();
      const slot = reel.byteLength / (2 * frames);
      const picture = (index) =>
        createImageBitmap(new Blob([new Uint8Array(reel, index * slot, slot)], {type: 'image/jpeg'}));
      return Promise.all(Array.from({length: 2 * frames}, (_, index) => picture(index)));
    }

    /** Take the pictures of both sides and show frame 0. */
    load(pictures, fps) {
      this.pause();
      const frames = pictures.length / 2;
      this.sides.flat().forEach((old) => old.close());
      this.sides = [pictures.slice(0, frames), pictures.slice(frames)];
      for (const canvas of this.canvases) {
        canvas.width = pictures[0].width;
        canvas.height = pictures[0].height;
      }
      this.frames = frames;
      this.fps = fps;
      this.played = new Set();
      this.seek(0);
    }

    /** Whether every frame has been shown while playing. */
    get seen() {
      return this.frames > 0 && this.played.size === this.frames;
    }

    seek(frame) {
      if (!this.frames) return;
      this.position = Math.min(Math.max(Math.round(frame), 0), this.frames - 1);
      this.draw(this.position);
    }

    step(by) {
      this.pause();
      this.seek((this.frame + by + this.frames) % this.frames);
    }

    replay() {
      this.seek(0);
      this.play();
    }

    toggle() {
      if (this.playing) this.pause();
      else this.play();
    }

    play() {
      if (this.playing || !this.frames) return;
      if (!this.loop && this.frame === this.frames - 1) this.seek(0);
      this.playing = true;
      this.played.add(this.frame);
      this.changed();
      let before = performance.now();
      const clock = (this.clock = {}); // one at a time: after a stop and a start, the last one has had its day
      const tick = (now) => {
        if (!this.playing || this.clock !== clock) return;
        const elapsed = Math.min(Math.max(now - before, 0), LONGEST_STEP);
        before = now;
        this.advance((elapsed / 1000) * this.fps * this.speed);
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    }

    pause() {
      if (!this.playing) return;
      this.playing = false;
      this.position = this.frame;
      this.changed();
    }

    /** Go on by some part of a frame or several; those passed over on a slow screen count as played. */
    advance(by) {
      const last = Math.floor(this.position);
      const end = this.loop ? Infinity : this.frames - 1;
      this.position = Math.min(this.position + by, end);
      const now = Math.floor(this.position);
      for (let frame = last + 1; frame <= now; frame++) this.played.add(frame % this.frames);
      this.position %= this.frames;
      if (now !== last) this.draw(now % this.frames);
      if (now === end) this.pause();
    }

    draw(frame) {
      this.frame = frame;
      this.canvases.forEach((canvas, side) => {
        canvas.getContext('2d').drawImage(this.sides[side][frame], 0, 0);
        canvas.dataset.frame = frame;
      });
      this.changed();
    }
  }

  window.HuViDPO = {...window.HuViDPO, Lockstep};
})();
