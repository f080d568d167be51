// The timeline under the players: a ruler to scrub on, and below it a row for each answer ("1", "=", "2") in segments.
// What is marked is kept per frame, so that the segments' length may change while marking.
(() => {
  const SIDES = ['left', 'tie', 'right'];
  const WORDS = {left: '1 is better', tie: 'as good as each other', right: '2 is better'};

  class Timeline {
    /** element: the empty place; seek(frame): the person scrubs; marked(): the marks have changed. */
    constructor(element, seek, marked) {
      Object.assign(this, {seek, marked, frames: 1, fps: 8, length: 8, frame: 0, marks: []});
      element.innerHTML =
        '<div class="hv-ruler" role="slider" tabindex="0" aria-label="Position" aria-valuemin="1"></div>' +
        '<div class="hv-segments" role="group" aria-label="Better side of each segment"></div>' +
        '<div class="hv-rows" aria-hidden="true"><span>1</span><span>=</span><span>2</span></div><i class="hv-playhead"></i>';
      [this.ruler, this.segments, , this.head] = element.children;
      this.wireRuler();
      this.wireSegments();
    }

    /** A new clip; marks: [[start, end, side], ...]. */
    set(frames, fps, marks = []) {
      this.frames = frames;
      this.fps = fps;
      this.marks = Array(frames).fill(null);
      for (const [start, end, side] of marks) this.marks.fill(side, start, end);
      this.ruler.setAttribute('aria-valuemax', frames);
      this.cut(Math.max(1, Math.round(fps)));
    }

    /** Lengths of segments a person may choose, in frames: a second and its parts, down to a frame. */
    lengths() {
      const wanted = [2, 1, 0.5, 0.25].map((seconds) => Math.round(seconds * this.fps));
      return [...new Set([...wanted, 1])].filter((length) => length >= 1 && (length < this.frames || length <= this.fps));
    }

    /** Cut the clip into segments of so many frames. */
    cut(length) {
      this.length = length;
      this.starts = Array.from({length: Math.ceil(this.frames / length)}, (_, index) => index * length);
      const ends = this.starts.map((start) => Math.min(start + length, this.frames));
      this.segments.style.gridTemplateColumns = this.starts.map((start, i) => `${ends[i] - start}fr`).join(' ');
      this.segments.replaceChildren(...SIDES.flatMap((side) => this.starts.map((start, i) => {
        const cell = document.createElement('button');
        cell.type = 'button';
        cell.className = 'hv-cell';
        Object.assign(cell.dataset, {start, end: ends[i], side});
        const seconds = (frame) => (frame / this.fps).toFixed(length < this.fps ? 2 : 1);
        cell.setAttribute('aria-label', `${seconds(start)} to ${seconds(ends[i])} s: ${WORDS[side]}`);
        return cell;
      })));
      this.paint();
      this.at(this.frame);
    }

    /** Show the position. */
    at(frame) {
      this.frame = Math.min(frame, this.frames - 1);
      this.head.style.setProperty('--at', (this.frame + 0.5) / this.frames);
      this.ruler.setAttribute('aria-valuenow', this.frame + 1);
      this.ruler.setAttribute('aria-valuetext', `frame ${this.frame + 1} of ${this.frames}`);
      for (const cell of this.segments.children) {
        const here = cell.dataset.start <= this.frame && this.frame < cell.dataset.end;
        cell.classList.toggle('hv-here', here);
        cell.tabIndex = here ? 0 : -1; // the Tab key meets the segment that is on screen, not all of them
      }
    }

    /** Go to the segment before or after the one on screen. */
    jump(by) {
      const now = Math.floor(this.frame / this.length);
      this.seek(this.starts[Math.min(Math.max(now + by, 0), this.starts.length - 1)]);
    }

    /** Mark the segment on screen; the same mark again takes it away. */
    mark(side) {
      const cell = [...this.segments.children].find((cell) => cell.dataset.side === side && cell.tabIndex === 0);
      this.put(cell, !this.holds(cell));
    }

    /** The marks as [[start, end, side], ...]. */
    runs() {
      const runs = [];
      this.marks.forEach((side, frame) => {
        const last = runs.at(-1);
        if (last && last[1] === frame && last[2] === side) last[1] = frame + 1;
        else if (side) runs.push([frame, frame + 1, side]);
      });
      return runs;
    }

    holds({dataset}) {
      return this.marks.slice(dataset.start, dataset.end).every((side) => side === dataset.side);
    }

    put({dataset}, on) {
      if (on) this.marks.fill(dataset.side, dataset.start, dataset.end);
      else this.marks.fill(null, dataset.start, dataset.end);
      this.paint();
      this.marked();
    }

    paint() {
      for (const cell of this.segments.children) {
        const part = this.marks.slice(cell.dataset.start, cell.dataset.end).some((side) => side === cell.dataset.side);
        cell.setAttribute('aria-pressed', this.holds(cell) ? 'true' : part ? 'mixed' : 'false');
      }
    }

    wireRuler() {
      const scrub = (event) => {
        const box = this.ruler.getBoundingClientRect();
        const frame = Math.floor(((event.clientX - box.left) / box.width) * this.frames);
        this.seek(Math.min(Math.max(frame, 0), this.frames - 1));
      };
      this.ruler.addEventListener('pointerdown', (event) => {
        this.ruler.setPointerCapture(event.pointerId);
        scrub(event);
      });
      this.ruler.addEventListener('pointermove', (event) => {
        if (this.ruler.hasPointerCapture(event.pointerId)) scrub(event);
      });
    }

    /** A press marks a segment, or takes its mark away; a mouse dragged on does the same to the segments it passes. */
    wireSegments() {
      let from = null; // the cell that a mouse was pressed on
      let on = false; // what dragging does
      let dragged = false;
      this.segments.addEventListener('pointerdown', (event) => {
        dragged = false;
        from = event.pointerType === 'touch' || event.button ? null : event.target.closest('.hv-cell');
        on = from !== null && !this.holds(from);
      });
      this.segments.addEventListener('pointermove', (event) => {
        const cell = from && document.elementFromPoint(event.clientX, event.clientY)?.closest('.hv-cell');
        if (!cell || (cell === from && !dragged) || !this.segments.contains(cell)) return;
        for (const passed of dragged ? [cell] : [from, cell]) if (this.holds(passed) !== on) this.put(passed, on);
        dragged = true;
      });
      document.addEventListener('pointerup', () => { from = null; });
      this.segments.addEventListener('click', (event) => {
        const cell = event.target.closest('.hv-cell');
        if (cell && !(dragged && event.detail)) this.put(cell, !this.holds(cell)); // no detail: from the keyboard
      });
    }
  }

  window.HuViDPO = {...window.HuViDPO, Timeline};
})();
