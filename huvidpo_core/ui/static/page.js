// Keys, dropped and pasted pictures, the way from the button to the stage, and the tab after a reload.
(() => {
  const find = (id) => document.getElementById(id);
  const seen = (element) => element && element.offsetParent !== null && !element.disabled;
  const press = (id) => {
    if (!seen(find(id))) return false;
    document.activeElement?.blur?.(); // number fields report their value when left
    setTimeout(() => find(id)?.click(), 50);
    return true;
  };

  document.addEventListener('keydown', (event) => {
    const animate = event.key === 'Enter' && (event.ctrlKey || event.metaKey);
    if ((animate && press('animate')) || (event.key === 'Escape' && press('stop'))) event.preventDefault();
  }, true);

  document.addEventListener('click', (event) => {
    const narrow = window.innerWidth < 900;
    if (!narrow && event.target.closest?.('#animate, .hv-card')) {
      document.querySelector('.hv-right')?.scrollTo({top: 0, behavior: 'smooth'}); // that column scrolls by itself
    } else if (narrow && event.target.closest?.('#animate, #use, .hv-card')) {
      const target = event.target.closest('#use') ? 'prompt' : 'stage';
      setTimeout(() => find(target)?.scrollIntoView({behavior: 'smooth', block: 'center'}), 200);
    }
  });

  // A reload opens the tab that was open.
  const tabs = () => [...document.querySelectorAll('[role=tab]')];
  window.addEventListener('pagehide', () => {
    sessionStorage.huvidpoTab = tabs().find((tab) => tab.ariaSelected === 'true')?.textContent ?? '';
  });
  const open = (name, tries) => {
    const tab = tabs().find((each) => each.textContent === name);
    if (tab && 'ready' in document.body.dataset) tab.click(); // when what the browser remembers is back, too
    else if (tries) setTimeout(open, 100, name, tries - 1);
  };
  if (sessionStorage.huvidpoTab) open(sessionStorage.huvidpoTab, 100);

  // Gradio names a download after the file; fetched here it gets the name the link gives it.
  document.addEventListener('click', async (event) => {
    const link = event.target.closest?.('a.hv-button[download]');
    if (!link) return;
    event.preventDefault();
    const answer = await fetch(link.href);
    if (!answer.ok) return window.alert('That clip is no longer there. Reload the page to see the present gallery.');
    const save = document.createElement('a');
    save.href = URL.createObjectURL(await answer.blob());
    save.download = link.download;
    save.click();
    setTimeout(() => URL.revokeObjectURL(save.href), 60000);
  });

  // Pictures go through the upload button: the server refuses bad ones with a sentence and refits the rest.
  const upload = (files) => {
    const input = document.querySelector('#upload input[type=file], input[type=file]#upload') ??
      find('upload')?.parentElement?.querySelector('input[type=file]');
    const picture = [...(files ?? [])].find((file) => file.type.startsWith('image/'));
    if (!input || !picture) return false;
    const transfer = new DataTransfer();
    transfer.items.add(picture);
    input.files = transfer.files;
    input.dispatchEvent(new Event('change', {bubbles: true}));
    return true;
  };
  const overEditor = (event) => event.target.closest?.('#editor');
  document.addEventListener('dragover', (event) => overEditor(event) && event.preventDefault(), true);
  document.addEventListener('drop', (event) => {
    if (!overEditor(event)) return;
    event.preventDefault();
    event.stopPropagation();
    upload(event.dataTransfer?.files);
  }, true);
  document.addEventListener('paste', (event) => {
    if (upload(event.clipboardData?.files)) event.preventDefault();
  });
})();
