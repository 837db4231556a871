// Passkey ceremonies: signing in, adding a passkey, and confirming an approval. The server makes and checks every
// challenge; this script only hands it to the browser.

(() => {
  const { startAuthentication, startRegistration } = SimpleWebAuthnBrowser;

  async function post(path, body) {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error([answer.error_description, answer.next].filter(Boolean).join(' '));
    return answer;
  }

  const ceremonies = {
    async confirm(form) {
      const optionsJSON = await post(form.dataset.options, { csrf: form.elements.csrf.value });
      const response = await startAuthentication({ optionsJSON });
      const field = document.createElement('input');
      Object.assign(field, { type: 'hidden', name: 'confirmation', value: JSON.stringify(response) });
      form.append(field);
      HTMLFormElement.prototype.submit.call(form);
    },
    async register(form) {
      const csrf = form.elements.csrf.value;
      const optionsJSON = await post(form.dataset.options, { csrf });
      const response = await startRegistration({ optionsJSON });
      const { location: next } = await post(form.action, {
        csrf,
        response,
        name: form.elements.name.value,
        return_to: form.elements.return_to?.value ?? null,
      });
      location.assign(next);
    },
    async sign_in(form) {
      const optionsJSON = await post(form.dataset.options, {});
      const response = await startAuthentication({ optionsJSON });
      const { location: next } = await post(form.action, {
        response,
        return_to: form.elements.return_to?.value ?? null,
      });
      location.assign(next);
    },
  };

  function explain(error) {
    if (error.name === 'NotAllowedError')
      return 'The passkey was not confirmed: it was cancelled or took too long. Try again.';
    if (error.name === 'InvalidStateError') return 'This device has a passkey for you already.';
    if (error.name === 'SecurityError')
      return `This address cannot use passkeys. Open the console at its own name. (${error.message})`;
    return error.message;
  }

  function enable() {
    for (const form of document.querySelectorAll('form[data-passkey]')) {
      if (form.dataset.ready) continue;
      form.dataset.ready = 'yes';
      const button = form.querySelector('button');
      button.disabled = false;
      form.addEventListener('submit', async (event) => {
        event.preventDefault();
        const message = form.querySelector('[data-passkey-error]');
        button.disabled = true;
        message.hidden = true;
        try {
          await ceremonies[form.dataset.passkey](form);
        } catch (error) {
          message.textContent = explain(error);
          message.hidden = false;
          button.disabled = false;
        }
      });
    }
  }
  enable();
  document.addEventListener('countersign:updated', enable);
})();
