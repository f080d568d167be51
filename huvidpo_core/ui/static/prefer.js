// The rating desk: asks the server for pairs, plays them, takes the answer by button or key and sends it. An answer stays
// here until the server has confirmed it; marks and scores outlive a reload.
(() => {
  const VOTES = {1: 'left', 2: 'right', 0: 'tie', 9: 'both_bad', s: 'skip'};
  const KEYS = {
    z: 'undo', ' ': 'toggle', arrowleft: 'back', arrowright: 'on', r: 'replay', l: 'loop', '[': 'before', ']': 'after',
    q: 'mark_left', w: 'mark_tie', e: 'mark_right', ',': 'slower', '.': 'faster',
  };
  const CHOSEN = {left: 'You chose 1.', right: 'You chose 2.', tie: 'A tie.', both_bad: 'Both bad.', skip: 'Skipped.'};
  const UNREACHABLE = 'The server does not answer. Your vote is kept on this page and sent again until it does.';
  const NOT_YET = 'Voting opens when both clips have played to their end.';
  const NONE_READY = 'No pair is waiting. Have some made below, under Make pairs; they appear here when they are ready.';
  const COMING = 'The next pair is being made and appears here when it is ready.';
  const AGAIN = 2500; // ms until the server is asked again

  class Desk {
    constructor(element, server) {
      Object.assign(this, {element, server, showing: null, busy: false, shownAt: 0});
      this.find = (selector) => element.querySelector(selector);
      const {Lockstep, Timeline} = window.HuViDPO;
      this.player = new Lockstep([...element.querySelectorAll('canvas')], () => this.follow());
      this.timeline = new Timeline(this.find('.hv-timeline'), (frame) => this.scrub(frame), () => this.keep());
      this.wire();
      this.find('.hv-guide details').open = window.innerWidth > 1000; // on a phone the clips come first
      this.rater = localStorage.huvidpoRater ?? '';
      if (this.rater) this.begin();
    }

    // --- between page and server -------------------------------------------------------------------------------------

    begin() {
      this.find('.hv-who').textContent = this.rater;
      this.next();
    }

    values() {
      return {rater: this.rater, action: this.find('[name=action]').value};
    }

    /** The next pair, or the news that there is none yet. */
    async next() {
      this.busy = true;
      await this.shown(await this.server.next_pair(this.values()));
    }

    async shown(answer) {
      this.busy = true;
      if (!answer || answer.error) return this.wait(answer?.error ?? 'The server does not answer. Asking again.');
      if (!answer.showing) {
        this.count(answer);
        return this.wait(answer.making || answer.ordered ? COMING : NONE_READY);
      }
      try {
        const {showing} = answer;
        if (await this.player.load(showing.reel, showing.frames, showing.fps)) this.open(showing);
      } catch (error) {
        console.warn(error);
        this.wait('The clips could not be loaded. Trying again.');
      }
    }

    /** From time to time: how many pairs wait, and whether one has come for a page that has none. */
    async look() {
      if (this.element.offsetParent === null || document.hidden || this.stateNow === 'name') return;
      const answer = await this.server.counts(this.values());
      if (answer && !answer.error) this.count(answer);
      if (this.stateNow === 'waiting' && !(answer && !answer.error && answer.ready === 0)) await this.next();
    }

    /** Show a pair whose clips are in memory, with the marks and scores it had before a reload. */
    open(showing) {
      const draft = JSON.parse(sessionStorage[this.draftOf(showing)] ?? '{}');
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
      this.look();
      if (!matchMedia('(prefers-reduced-motion: reduce)').matches) this.player.play();
    }

    async vote(choice) {
      if (this.busy || !this.showing) return;
      if (choice !== 'skip' && !this.player.seen) return this.say(NOT_YET);
      this.busy = true;
      this.follow(); // the buttons close at once: a second press would be for a pair not yet shown
      const ballot = {
        ...this.values(), showing: this.showing.id, choice, marks: this.timeline.runs(), scores: this.scores(),
        seconds: (performance.now() - this.shownAt) / 1000,
      };
      let answer;
      while (!(answer = await this.server.send_vote(ballot))) {
        this.say(UNREACHABLE);
        await new Promise((done) => setTimeout(done, AGAIN));
      }
      if (answer.error) {
        this.say(answer.error);
      } else {
        delete sessionStorage[this.draftOf(this.showing)];
        const {left, right} = answer.revealed;
        this.say(`${CHOSEN[choice]} ${left === right ? `Both are by ${left}.` : `1 is by ${left}, 2 by ${right}.`}`);
      }
      await this.next(); // after an error the same pair again, with its marks, unless it has been answered elsewhere
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
      this.say('Your last vote is taken back. Rate this pair again.');
      await this.shown(answer);
    }

    // --- what the person sees ----------------------------------------------------------------------------------------

    get stateNow() {
      return this.find('.hv-prefer').dataset.state;
    }

    state(name) {
      this.find('.hv-prefer').dataset.state = name;
    }

    count({rated, ready, making, ordered, problem}) {
      const more = making ? `, making another (${making})` : ordered ? `, ${ordered} ordered` : '';
      this.find('.hv-count').textContent = `${rated} rated, ${ready} waiting${more}`;
      this.find('.hv-problem').textContent = problem;
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
      for (const button of this.element.querySelectorAll('[data-vote]')) {
        button.disabled = button.dataset.vote === 'skip' ? !this.showing || this.busy : !open;
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

    draftOf(showing) {
      return `huvidpoDraft ${showing.id}`;
    }

    /** Keep marks and scores for a reload. */
    keep() {
      if (!this.showing) return;
      sessionStorage[this.draftOf(this.showing)] = JSON.stringify({marks: this.timeline.runs(), scores: this.scores()});
    }

    // --- what the person does ----------------------------------------------------------------------------------------

    scrub(frame) {
      this.player.pause();
      this.player.seek(frame);
    }

    do(name) {
      const {player, timeline} = this;
      const speeds = [0.25, 0.5, 1, 2];
      const actions = {
        toggle: () => player.toggle(),
        back: () => player.step(-1),
        on: () => player.step(1),
        replay: () => player.replay(),
        loop: () => { player.loop = !player.loop; this.follow(); },
        slower: () => this.speed(speeds[Math.max(speeds.indexOf(player.speed) - 1, 0)]),
        faster: () => this.speed(speeds[Math.min(speeds.indexOf(player.speed) + 1, 3)]),
        before: () => timeline.jump(-1),
        after: () => timeline.jump(1),
        mark_left: () => timeline.mark('left'),
        mark_tie: () => timeline.mark('tie'),
        mark_right: () => timeline.mark('right'),
      };
      if (name === 'undo') this.undo();
      else if (name === 'rename') this.rename();
      else if (this.showing) actions[name]();
    }

    speed(speed) {
      this.player.speed = speed;
      this.find('[name=speed]').value = speed;
    }

    rename() {
      this.player.pause();
      this.find('[name=rater]').value = this.rater;
      this.state('name');
      this.find('[name=rater]').focus();
    }

    wire() {
      const {element} = this;
      element.addEventListener('click', (event) => {
        const button = event.target.closest('button');
        if (!button) return;
        if (event.detail) button.blur(); // else Space would press it again instead of playing
        if (button.dataset.vote) this.vote(button.dataset.vote);
        else if (button.dataset.do) this.do(button.dataset.do);
      });
      for (const canvas of this.player.canvases) canvas.addEventListener('click', () => this.do('toggle'));
      element.addEventListener('change', ({target}) => {
        if (target.name === 'speed') this.speed(Number(target.value));
        else if (target.name === 'action') this.next();
        else if (target.name === 'length') this.timeline.cut(Number((localStorage.huvidpoSegment = target.value)));
        else if (target.type === 'radio') this.keep();
        if (target.tagName === 'SELECT') target.blur();
      });
      this.find('.hv-name').addEventListener('submit', (event) => {
        event.preventDefault();
        this.rater = localStorage.huvidpoRater = this.find('[name=rater]').value.trim();
        if (this.rater) this.begin();
      });
      const key = (event) => {
        if (element.isConnected) return this.key(event);
        document.removeEventListener('keydown', key); // Gradio has put another player in place of this one
        clearInterval(clock);
      };
      document.addEventListener('keydown', key);
      const clock = setInterval(() => this.look(), AGAIN);
    }

    key(event) {
      const typing = event.target.closest?.('textarea, select, [contenteditable], input:not([type=radio])');
      if (this.element.offsetParent === null || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (this.stateNow === 'name') return;
      const name = event.key.toLowerCase();
      const own = event.target.closest?.('button, summary, a, [type=radio]'); // these have a use for some keys themselves
      if (own && (name === ' ' || name === 'enter' || (own.type === 'radio' && name.startsWith('arrow')))) return;
      if (Object.hasOwn(VOTES, name)) {
        if (!event.repeat) this.vote(VOTES[name]);
      } else if (!Object.hasOwn(KEYS, name) || (event.repeat && !/^arrow|\[|\]/.test(name))) return;
      else this.do(KEYS[name]);
      event.preventDefault();
    }
  }

  window.HuViDPO = {...window.HuViDPO, Desk};
})();
