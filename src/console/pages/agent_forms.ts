import { type Html, html } from '../../kernel/html.ts';
import { markedHtml } from '../marked_html.ts';
import { termFields } from './agent_term_fields.ts';
import type { AgentView } from './agent_view.ts';
import { personSelect } from './agents_page.ts';

const hidden = ({ csrf }: AgentView) => html`<input type="hidden" name="csrf" value="${csrf}">`;

export function changeForm(page: AgentView): Html {
  const { pending, choices, terms } = page;
  const bound = Object.entries(terms.bound ?? {});
  // What it was given stays in the form although its server does not list it any more: leaving it out would take it away.
  const gone = bound
    .map(([id, tools]) => {
      const listed = choices.toolServers.find((server) => server.id === id)?.tools ?? [];
      const name = `${page.toolServers.get(id) ?? id} (not listed any more)`;
      return { id, name, tools: tools.filter((tool) => !listed.includes(tool)) };
    })
    .filter((server) => server.tools.length > 0);
  const all = { toolServers: [...choices.toolServers, ...gone] };
  return html`<details><summary>What it may do</summary>
<form method="post" action="/agents/${page.id}/change" class="card">${hidden(page)}
<p>What takes something from it holds at once. What gives it more waits until another administrator approves it${pending !== null && html`, and one change waits already`}.</p>
${termFields(all, terms)}
<button class="primary">Change it</button></form></details>`;
}

export function transferForm(page: AgentView): Html {
  return html`<details><summary>Who answers for it</summary>
<form method="post" action="/agents/${page.id}/transfer" class="card">${hidden(page)}
<p>Whoever answered for it decides about nothing that began in their time.</p>
<div class="field"><label for="owner">Owner</label>${personSelect('owner', page.people, page.owner.id)}</div>
<div class="field"><label for="deputy">Deputy</label>${personSelect('deputy', page.people, page.deputy?.id ?? null, page.deputy === null ? 'Nobody' : undefined)}</div>
<button class="primary">Hand it over</button></form></details>`;
}

export function keysForm(page: AgentView): Html {
  return html`<details><summary>Replace its keys</summary>
<form method="post" action="/agents/${page.id}/keys" class="card">${hidden(page)}
<div class="field"><label for="jwks">All public keys it has from now on</label><p class="hint" id="jwks-hint">A JSON Web Key Set. A key that you leave out stops at once; list the old one beside the new one to let them overlap. Never paste a private key.</p><textarea id="jwks" name="jwks" rows="5" required aria-describedby="jwks-hint" spellcheck="false"></textarea></div>
<button class="primary">Replace its keys</button></form></details>`;
}

/** Suspending is undone by an administrator; offboarding by nobody. */
export function stopForms(page: AgentView): Html {
  const reason = (id: string) =>
    html`<div class="field"><label for="${id}">Why?</label><input type="text" id="${id}" name="reason" maxlength="500"></div>`;
  return html`<section class="card"><h2>Stop it</h2>
${
  page.state === 'active' &&
  html`<form method="post" action="/agents/${page.id}/suspend">${hidden(page)}
<p>Suspending stops everything it does, and everything others do in its name, with the next call. Its tasks are kept until it is resumed.</p>
${reason('suspend-reason')}<button class="danger">Suspend ${markedHtml(page.name)}</button></form>`
}
${
  page.state === 'suspended' &&
  page.may.isAdministrator &&
  html`<form method="post" action="/agents/${page.id}/resume">${hidden(page)}
<p>Resuming lets it work again, with new tokens. What was taken back when it was suspended stays so.</p>
${reason('resume-reason')}<button class="primary">Resume ${markedHtml(page.name)}</button></form>`
}
${page.state === 'suspended' && !page.may.isAdministrator && html`<p>An administrator can resume it.</p>`}
<details><summary>Offboard it for good</summary><form method="post" action="/agents/${page.id}/offboard">${hidden(page)}
<p>Its tasks end, with everything it handed on to other agents. It never comes back.</p>
${reason('offboard-reason')}
<label class="check"><input type="checkbox" name="is_sure" value="yes" required> <span>I know that this cannot be undone</span></label>
<button class="danger">Offboard ${markedHtml(page.name)}</button></form></details></section>`;
}
