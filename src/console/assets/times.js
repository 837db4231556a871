// Rewrites every moment on the page in the reader's own zone, with the zone named.

(() => {
  const today = new Date().toDateString();
  const clock = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZoneName: 'short' };
  const write = () => {
    for (const element of document.querySelectorAll('time[datetime]')) {
      const at = new Date(element.dateTime);
      const day = at.toDateString() === today ? {} : { year: 'numeric', month: 'short', day: 'numeric' };
      element.title = element.dateTime;
      element.textContent = new Intl.DateTimeFormat(document.documentElement.lang, { ...day, ...clock }).format(at);
    }
  };
  write();
  document.addEventListener('countersign:updated', write);
})();
