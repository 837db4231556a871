// Follows a request for approval while its page is open, and lets long values be confirmed once they were scrolled to
// their end. Without this script the page shows the state of the moment it was loaded.

(() => {
  const article = document.querySelector('[data-live]');
  if (article === null) return;
  const PAUSE_AFTER_ERROR_MS = 5_000;
  const REGIONS = ['status', 'decisions', 'decision'];
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  async function reload() {
    const response = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (!response.ok) throw new Error(`The page answered ${response.status}`);
    const next = new DOMParser().parseFromString(await response.text(), 'text/html');
    const fresh = next.querySelector('[data-live]');
    if (fresh === null) return location.reload();
    const own = document.getElementById('reason')?.value;
    // The regions stay and only their contents change, so that screen readers announce it.
    for (const id of REGIONS) document.getElementById(id)?.replaceChildren(...next.getElementById(id).childNodes);
    article.dataset.state = fresh.dataset.state;
    const field = document.getElementById('reason');
    if (field !== null && own) field.value = own;
    watchLongValues();
    document.dispatchEvent(new Event('countersign:updated'));
  }

  async function follow() {
    for (;;) {
      try {
        const answer = await fetch(`${article.dataset.live}?state=${encodeURIComponent(article.dataset.state)}`, {
          headers: { accept: 'application/json' },
        });
        if (!answer.ok) throw new Error(`The live address answered ${answer.status}`);
        const { changed, settled } = await answer.json();
        if (changed) await reload();
        if (settled) return;
      } catch {
        await pause(PAUSE_AFTER_ERROR_MS);
      }
    }
  }

  // The box stays enabled, since a disabled one would not hold the form back; ticking it leads to what is unread.
  function watchLongValues() {
    const box = document.querySelector('[data-read]');
    if (box === null) return;
    const unread = new Set(document.querySelectorAll('[data-long]'));
    const check = (element) => {
      if (element.scrollTop + element.clientHeight >= element.scrollHeight - 4) unread.delete(element);
      box.setAttribute('aria-disabled', String(unread.size > 0));
    };
    for (const element of unread) {
      element.addEventListener('scroll', () => check(element), { passive: true });
      check(element);
    }
    box.addEventListener('click', (event) => {
      const [first] = unread;
      if (first === undefined) return;
      event.preventDefault();
      first.scrollIntoView({ block: 'center' });
      first.focus();
    });
  }

  watchLongValues();
  follow();
})();
