// What a person does at the rating desk, by button, key and menu; `Desk` carries out what reaches the server.
(() => {
  const VOTES = {1: 'left', 2: 'right', 0: 'tie', 9: 'both_bad', s: 'skip'};
  const KEYS = {
    z: 'undo', ' ': 'toggle', arrowleft: 'back', arrowright: 'on', r: 'replay', l: 'loop', '[': 'before', ']': 'after',
    q: 'mark_left', w: 'mark_tie', e: 'mark_right', ',': 'slower', '.': 'faster',
  };
  const SPEEDS = [0.25, 0.5, 1, 2];

  class Controls {
    constructor(desk) {
      Object.assign(this, {desk, element: desk.element, player: desk.player, timeline: desk.timeline, find: desk.find});
      this.wireButtons();
      this.wireMenus();
      const key = (event) => {
        if (this.element.isConnected) this.key(event);
        else document.removeEventListener('keydown', key); // Gradio has put another player in place of this one
      };
      document.addEventListener('keydown', key);
    }

    do(name) {
      const {desk, player, timeline} = this;
      const always = {undo: () => desk.undo(), stop: () => desk.stopMaking(), rename: () => this.rename()};
      const withPair = {
        toggle: () => player.toggle(),
        back: () => player.step(-1),
        on: () => player.step(1),
        replay: () => player.replay(),
        loop: () => { player.loop = !player.loop; desk.follow(); },
        slower: () => this.speed(SPEEDS[Math.max(SPEEDS.indexOf(player.speed) - 1, 0)]),
        faster: () => this.speed(SPEEDS[Math.min(SPEEDS.indexOf(player.speed) + 1, SPEEDS.length - 1)]),
        before: () => timeline.jump(-1),
        after: () => timeline.jump(1),
        mark_left: () => timeline.mark('left'),
        mark_tie: () => timeline.mark('tie'),
        mark_right: () => timeline.mark('right'),
      };
      if (Object.hasOwn(always, name)) always[name]();
      else if (desk.showing) withPair[name]();
    }

    speed(speed) {
      this.player.speed = speed;
      this.find('[name=speed]').value = speed;
    }

    rename() {
      this.player.pause();
      this.find('[name=rater]').value = this.desk.rater;
      this.desk.state('name');
      this.find('[name=rater]').focus();
    }

    wireButtons() {
      this.element.addEventListener('click', (event) => {
        const button = event.target.closest('button');
        if (!button) return;
        if (event.detail) button.blur(); // else Space would press it again instead of playing
        if (button.dataset.vote) this.desk.vote(button.dataset.vote);
        else if (button.dataset.do) this.do(button.dataset.do);
      });
      for (const canvas of this.player.canvases) canvas.addEventListener('click', () => this.do('toggle'));
    }

    wireMenus() {
      const {desk} = this;
      this.element.addEventListener('change', ({target}) => {
        if (target.name === 'speed') this.speed(Number(target.value));
        else if (target.name === 'action') desk.next();
        else if (target.name === 'length') this.timeline.cut(Number((localStorage.huvidpoSegment = target.value)));
        else if (target.type === 'radio') desk.keep();
        if (target.tagName === 'SELECT') target.blur();
      });
      this.find('.hv-name').addEventListener('submit', (event) => {
        event.preventDefault();
        const field = this.find('[name=rater]');
        field.value = field.value.trim();
        if (field.reportValidity()) desk.begin(field.value); // a name of blanks is none, and the browser says so
      });
    }

    key(event) {
      const typing = event.target.closest?.('textarea, select, [contenteditable], input:not([type=radio])');
      if (this.element.offsetParent === null || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (this.desk.stateNow === 'name') return;
      const name = event.key.toLowerCase();
      const own = event.target.closest?.('button, summary, a, [type=radio]'); // these have a use for some keys themselves
      if (own && (name === ' ' || name === 'enter' || (own.type === 'radio' && name.startsWith('arrow')))) return;
      if (Object.hasOwn(VOTES, name)) {
        if (!event.repeat) this.desk.vote(VOTES[name]);
      } else if (!Object.hasOwn(KEYS, name) || (event.repeat && !/^arrow|\[|\]/.test(name))) return;
      else this.do(KEYS[name]);
      event.preventDefault();
    }
  }

  window.HuViDPO = {...window.HuViDPO, Controls};
})();
