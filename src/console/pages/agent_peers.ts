import type { Peer, PeerDirection } from '../../agents/peers.ts';
import { type Html, html } from '../../kernel/html.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';
import type { AgentView } from './agent_view.ts';

const DIRECTION_WORDS: Readonly<Record<PeerDirection, string>> = {
  to: 'May hand work to',
  from: 'May take work from',
};

export function peersSection(page: AgentView, isGoverned: boolean): Html {
  const { peers } = page.review;
  return html`<section><h2>Other agents</h2>
${
  peers.length === 0
    ? html`<p class="empty">Agents that it works with will be listed here. Work passes between two agents only if both sides allow it.</p>`
    : html`<ul class="list">${peers.map((peer) => entry(page, peer, isGoverned))}</ul>${isGoverned && html`<p class="hint">Taking one away ends what was handed on in that direction, with everything below it.</p>`}`
}
${isGoverned && addForm(page)}</section>`;
}

function entry(page: AgentView, peer: Peer, isGoverned: boolean): Html {
  return html`<li class="row apart"><p>${DIRECTION_WORDS[peer.direction]} <a href="/agents/${peer.peer_id}">${markedHtml(peer.name)}</a>${peer.state !== 'active' && html` <span class="tag danger">${peer.state}</span>`}<br><span class="muted">${
    peer.is_mutual
      ? html`${peer.last_used_at === null ? 'Not used yet' : html`Last used ${time(peer.last_used_at)}`}`
      : html`Not in force: whoever answers for ${markedHtml(peer.name)} must allow it on its page too`
  }</span></p>${
    isGoverned &&
    html`<form method="post" action="/agents/${page.id}/peers/remove"><input type="hidden" name="csrf" value="${page.csrf}"><input type="hidden" name="direction" value="${peer.direction}"><input type="hidden" name="peer" value="${peer.peer_id}"><button class="plain">Take away</button></form>`
  }</li>`;
}

function addForm(page: AgentView): Html {
  return html`<details><summary>Allow another agent</summary>
<form method="post" action="/agents/${page.id}/peers" class="card"><input type="hidden" name="csrf" value="${page.csrf}">
<div class="field"><label for="direction">This agent</label><select id="direction" name="direction"><option value="to">may hand work to</option><option value="from">may take work from</option></select></div>
<div class="field"><label for="peer">${page.others === null ? 'The other agent, by its id' : 'The other agent'}</label>${
    page.others === null
      ? html`<input type="text" id="peer" name="peer" required maxlength="64" placeholder="agt_…" spellcheck="false">`
      : html`<select id="peer" name="peer">${page.others.map((other) => html`<option value="${other.id}">${other.name}</option>`)}</select>`
  }</div>
<p class="hint">It takes effect when the other side is allowed on the other agent's page.</p>
<button class="primary">Allow it</button></form></details>`;
}
