// The rating desk: asks the server for pairs, plays them, takes the answer and sends it. (By which button or key, is in
// `Controls`.) An answer stays here until the server has confirmed it; marks and scores outlive a reload, and the vote,
// which may be taken back. While a pair is rated, the next one's clips are brought into memory.
(() => {
  const CHOSEN = {left: 'You chose 1.', right: 'You chose 2.', tie: 'A tie.', both_bad: 'Both bad.', skip: 'Skipped.'};
  const UNREACHABLE = 'The server does not answer. Your vote is kept on this page and sent again until it does.';
  const NOT_YET = 'Voting opens when both clips have played to their end.';
  const NONE_READY = 'No pair is waiting. Have some made below, under Make pairs, or go on to Align with the votes there are.';
  const COMING = 'The next pair is being made and appears here when it is ready.';
  const TAKEN_BACK = 'Your last vote is taken back: rate this pair again. Since its models have been named, the new ' +
    'answer does not count in comparing models.';
  const AGAIN = 2500; // ms until the server is asked again

  class Desk {
    constructor(element, server) {
      Object.assign(this, {element, server, showing: null, busy: false, shownAt: 0, turn: 0, coming: null});
      this.find = (selector) => element.querySelector(selector);
      const {Controls, Lockstep, Timeline} = window.HuViDPO;
      this.player = new Lockstep([...element.querySelectorAll('canvas')], () => this.follow());
      this.timeline = new Timeline(this.find('.hv-timeline'), (frame) => this.scrub(frame), () => this.keep());
      new Controls(this);
      const clock = setInterval(() => { // until Gradio puts another player in place of this one
        if (element.isConnected) this.look();
        else clearInterval(clock);
      }, AGAIN);
      this.find('.hv-guide details').open = window.innerWidth > 1000; // on a phone the clips come first
      this.rater = '';
      if (localStorage.huvidpoRater) this.begin(localStorage.huvidpoRater);
    }

    // --- between page and server -------------------------------------------------------------------------------------

    /** A rater's first pair; the browser remembers the name. */
    begin(rater) {
      this.rater = localStorage.huvidpoRater = rater;
      this.find('.hv-who').textContent = rater;
      this.next();
    }

    values() {
      return {rater: this.rater, action: this.find('[name=action]').value};
    }

    /** The next pair, or the news that there is none yet. */
    async next() {
      await this.show(() => this.server.next_pair(this.values()));
    }

    /** Show the pair that the server answers with; what else was asked for and is still on its way is forgotten. */
    async show(ask) {
      const turn = ++this.turn;
      this.busy = true;
      this.forget();
      const answer = await ask();
      if (turn !== this.turn) return;
      if (!answer || answer.error) return this.wait(answer?.error ?? 'The server does not answer. Asking again.');
      if (!answer.showing) return this.wait(this.count(answer));
      try {
        const pair = await this.fetch(answer.showing);
        if (turn === this.turn) this.open(pair);
      } catch (error) {
        console.warn(error);
        if (turn === this.turn) this.wait('The clips could not be loaded. Trying again.');
      }
    }

    async fetch(showing) {
      return {showing, pictures: await window.HuViDPO.Lockstep.fetch(showing.reel, showing.frames)};
    }

    /** Bring the pair after this one into memory, if there is one. Of its clips the page learns no more than of these. */
    prepare() {
      const found = (answer) => (answer?.showing ? this.fetch(answer.showing) : null);
      const coming = this.server.next_pair({...this.values(), after: this.showing.id}).then(found).catch(() => null);
      this.coming = coming;
      coming.then((pair) => { if (!pair && this.coming === coming) this.coming = null; }); // `look` tries again
    }

    /** Let go of the pair that was brought into memory: another is to be shown. */
    forget() {
      this.coming?.then((pair) => pair?.pictures.forEach((picture) => picture.close()));
      this.coming = null;
    }

    /** From time to time: how many pairs wait, and whether one has come for a page that has none. */
    async look() {
      if (this.element.offsetParent === null || document.hidden || this.stateNow === 'name') return;
      const answer = await this.server.counts(this.values());
      const known = answer && !answer.error;
      const words = known && this.count(answer);
      if (this.stateNow === 'waiting') {
        if (known && answer.ready === 0) this.find('.hv-waits p').textContent = words;
        else await this.next();
      } else if (known && answer.ready > 1 && this.showing && !this.busy && !this.coming) this.prepare();
    }

    /** Show a pair whose clips are in memory, with the marks and scores it had before a reload, or a vote taken back. */
    open({showing, pictures}) {
      const draft = JSON.parse(sessionStorage[this.draftOf(showing)] ?? '{}');
      this.player.load(pictures, showing.fps);
      this.showing = showing;
      this.timeline.set(showing.frames, showing.fps, draft.marks);
      this.fillLengths();
      for (const radio of this.element.querySelectorAll('.hv-scores input')) {
        const [side, aspect] = radio.name.split(' ');
        radio.checked = draft.scores?.[side]?.[aspect] === Number(radio.value);
      }
      this.find('.hv-scene-prompt').textContent = showing.prompt;
      this.find('.hv-scene-action').textContent =
        this.find(`[name=action] option[value="${CSS.escape(showing.action)}"]`)?.textContent ?? '';
      this.state('rating');
      this.busy = false;
      this.shownAt = performance.now();
      this.follow();
      this.prepare();
      this.look();
      if (!matchMedia('(prefers-reduced-motion: reduce)').matches) this.player.play();
    }

    async vote(choice) {
      if (this.busy || !this.showing) return;
      if (choice !== 'skip' && !this.player.seen) return this.say(NOT_YET);
      const {showing} = this;
      const turn = ++this.turn;
      this.busy = true;
      this.follow(); // the buttons close at once: a second press would be for a pair not yet shown
      const ballot = {
        ...this.values(), showing: showing.id, choice, marks: this.timeline.runs(), scores: this.scores(),
        seconds: (performance.now() - this.shownAt) / 1000,
      };
      let answer;
      while (!(answer = await this.server.send_vote(ballot))) {
        this.say(UNREACHABLE);
        await new Promise((done) => setTimeout(done, AGAIN));
      }
      if (answer.error) {
        this.say(answer.error);
        return this.next(); // the same pair again, with its marks, unless it has been answered elsewhere
      }
      this.say(`${CHOSEN[choice]} ${answer.revealed}`);
      const pair = await this.coming;
      if (turn !== this.turn) return; // pairs of another action were asked for meanwhile
      this.coming = null;
      if (pair) this.open(pair);
      else await this.next();
    }

    async undo() {
      if (this.undoing) return;
      this.undoing = true;
      while (this.busy) await new Promise((done) => setTimeout(done, 50)); // the vote may still be on its way
      this.undoing = false;
      this.busy = true;
      this.follow();
      const answer = await this.server.undo_vote(this.values());
      this.busy = false;
      this.follow();
      if (!answer || answer.error) return this.say(answer?.error ?? 'The server does not answer.');
      if (!answer.showing) return this.say('There is no vote of yours to take back.');
      if (this.showing) this.keep();
      this.say(TAKEN_BACK);
      await this.show(() => answer);
    }

    // --- what the person sees ----------------------------------------------------------------------------------------

    get stateNow() {
      return this.find('.hv-prefer').dataset.state;
    }

    state(name) {
      this.find('.hv-prefer').dataset.state = name;
    }

    /** Say how many pairs there are and what is being made; returns what to say where none is ready. */
    count({rated, ready, making, ordered, kept, problem}) {
      this.find('.hv-count').textContent = `${rated} rated, ${ready} waiting`;
      this.find('.hv-problem').textContent = problem;
      const now = making ? [`Making a pair: ${making}${ordered ? `; ${ordered} more to come` : ''}.`] : [];
      if (kept) now.push(`${kept} are kept ready while you rate.`);
      this.find('.hv-making span').textContent = now.join(' ');
      this.find('.hv-making').hidden = !now.length;
      return now.length ? COMING : NONE_READY;
    }

    async stopMaking() {
      const answer = await this.server.stop_making(this.values());
      if (!answer || answer.error) return this.say(answer?.error ?? 'The server does not answer.');
      this.count(answer);
      this.say('No more pairs are made. Those that are finished stay.');
    }

    say(text) {
      this.find('.hv-say').textContent = text;
    }

    wait(text) {
      this.showing = null;
      this.busy = false; // the last vote can be taken back also where no pair is left
      this.player.pause();
      this.find('.hv-waits p').textContent = text;
      this.state('waiting');
      this.follow();
    }

    /** Bring buttons and timeline in step with the player. */
    follow() {
      const {player} = this;
      const play = this.find('.hv-play');
      play.textContent = player.playing ? '❚❚' : '▶';
      play.setAttribute('aria-label', player.playing ? 'Pause' : 'Play');
      this.find('[data-do=loop]').setAttribute('aria-pressed', player.loop);
      this.find('.hv-frame-number').textContent = player.frames ? `${player.frame + 1} / ${player.frames}` : '';
      this.timeline.at(player.frame);
      const open = Boolean(this.showing) && !this.busy && player.seen;
      if (open && this.find('.hv-say').textContent === NOT_YET) this.say('');
      for (const button of this.element.querySelectorAll('[data-vote]')) {
        const skips = button.dataset.vote === 'skip';
        button.disabled = skips ? !this.showing || this.busy : !open;
        button.title = this.showing && !skips && !player.seen ? NOT_YET : '';
      }
    }

    fillLengths() {
      const {fps} = this.timeline;
      const said = (frames) => {
        if (frames === 1) return 'one frame';
        return {0.25: '¼ s', 0.5: '½ s'}[frames / fps] ?? `${+(frames / fps).toFixed(2)} s`;
      };
      const select = this.find('[name=length]');
      select.replaceChildren(...this.timeline.lengths().map((frames) => new Option(said(frames), frames)));
      const wanted = Number(localStorage.huvidpoSegment) || this.timeline.length;
      select.value = this.timeline.lengths().includes(wanted) ? wanted : this.timeline.length;
      this.timeline.cut(Number(select.value));
    }

    scores() {
      const scores = {};
      for (const radio of this.element.querySelectorAll('.hv-scores input:checked')) {
        const [side, aspect] = radio.name.split(' ');
        (scores[side] ??= {})[aspect] = Number(radio.value);
      }
      return scores;
    }

    /** Show one frame, chosen on the timeline. */
    scrub(frame) {
      this.player.pause();
      this.player.seek(frame);
    }

    draftOf(showing) {
      return `huvidpoDraft ${showing.id}`;
    }

    /** Keep marks and scores for a reload, or an undo. */
    keep() {
      if (!this.showing) return;
      sessionStorage[this.draftOf(this.showing)] = JSON.stringify({marks: this.timeline.runs(), scores: this.scores()});
    }
  }

  window.HuViDPO = {...window.HuViDPO, Desk};
})();
