// The strip of clips in Teach: a press leaves a clip out, its gap takes words.
window.HuViDPO ??= {};
window.HuViDPO.strip = (element, leave, say) => {
  const typed = new Map(); // words by clip; newer than what the server has sent
  const clip = (field) => field.closest('[data-clip]').dataset.clip;
  const fields = () => [...element.querySelectorAll('[data-clip] input')];
  const buttons = () => [...element.querySelectorAll('[data-clip] > button')];
  let place = -1; // of the button that was pressed: the one that follows it gets the focus

  element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-leave]');
    if (!button) return;
    if (button.dataset.leave) typed.delete(button.dataset.leave);
    else typed.clear();
    place = buttons().indexOf(button);
    leave(button.dataset.leave);
  });
  element.addEventListener('input', (event) => typed.set(clip(event.target), event.target.value));
  element.addEventListener('change', (event) => say(clip(event.target), event.target.value));
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.target.tagName !== 'INPUT') return;
    const all = fields();
    (all[all.indexOf(event.target) + 1] ?? all[0]).focus();
  });

  // Gradio changes the cards that are there into the new ones; what was typed would stay with the wrong clip.
  new MutationObserver(() => {
    for (const field of fields()) {
      const words = typed.get(clip(field)) ?? field.getAttribute('value');
      if (field.value !== words) field.value = words;
    }
    if (place >= 0) (buttons()[place] ?? buttons().at(-1))?.focus();
    place = -1;
  }).observe(element, {childList: true, subtree: true, attributes: true, attributeFilter: ['value', 'data-clip']});
};
