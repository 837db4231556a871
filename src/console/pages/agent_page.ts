import { type AgentTerms, addedTools } from '../../agents/terms.ts';
import { type Html, html } from '../../kernel/html.ts';
import { markedLine } from '../../kernel/marked_text.ts';
import { sayTerm, selectionHtml, stateTag, TERM_WORDS } from '../agent_words.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { time } from '../words.ts';
import { changeForm, keysForm, stopForms, transferForm } from './agent_forms.ts';
import { peersSection } from './agent_peers.ts';
import { reviewSection } from './agent_review.ts';
import type { AgentView } from './agent_view.ts';
import { workloadsSection } from './agent_workloads.ts';

export function agentPage(page: AgentView): Page {
  const isOver = page.state === 'offboarded';
  const isGoverned = page.may.govern && !isOver && page.state !== 'pending';
  const isProposal = page.state === 'pending';
  const body = html`<h1>${markedHtml(page.name)} ${stateTag(page.state)}</h1>
${notices(page)}
${isProposal && proposalNote(page)}
${page.pending !== null && waitingChange(page, page.pending)}
<section>${facts(page)}</section>
${!isOver && !isProposal && reviewSection(page)}
${page.keys !== null && keysSection(page, isGoverned)}
${page.kind === 'service' && !isProposal && workloadsSection(page, isGoverned)}
${isProposal && decideProposal(page)}
${page.kind === 'service' && !isProposal && peersSection(page, isGoverned)}
${page.ownerships.length > 0 && !isProposal && ownershipSection(page)}
${isGoverned && html`<section><h2>Change it</h2>${changeForm(page)}${page.kind === 'service' && transferForm(page)}</section>`}
${isGoverned && stopForms(page)}
<p><a href="/agents">All agents</a></p>`;
  return { title: markedLine(page.name), body, section: 'agents' };
}

function notices(page: AgentView): Html {
  const { keysDueAt, reviewDueAt, now, terms } = page;
  const isLive = page.state === 'active' || page.state === 'suspended';
  const isPast = (at: Date) => at.getTime() <= now.getTime();
  const hasEnded = isLive && terms.ends_at !== null && isPast(new Date(terms.ends_at));
  return html`${
    (page.state === 'suspended' || page.state === 'offboarded') &&
    html`<p class="warning">${page.state === 'suspended' ? 'Suspended' : 'Offboarded'} ${time(page.stateChangedAt)}.${page.stateReason !== null && html` ${markedHtml(page.stateReason)}`}</p>`
  }${hasEnded && html`<p class="warning">Its last day is over. Nothing runs for it any more.</p>`}${
    isLive && !page.owner.isActive && html`<p class="warning">Its owner was disabled. Give it to somebody else.</p>`
  }${
    isLive &&
    page.deputy !== null &&
    !page.deputy.isActive &&
    html`<p class="warning">Its deputy was disabled. Name another one: nobody answers for it when its owner cannot.</p>`
  }${
    isLive &&
    keysDueAt !== null &&
    isPast(keysDueAt) &&
    html`<p class="warning">Its keys were to be changed by ${time(keysDueAt)}. Replace them below, then it can be resumed.</p>`
  }${isLive && reviewDueAt !== null && isPast(reviewDueAt) && html`<p class="warning">A review of what it was given is due since ${time(reviewDueAt)}.</p>`}`;
}

function facts(page: AgentView): Html {
  const { terms } = page;
  const says = (name: keyof AgentTerms) =>
    html`<dt>${TERM_WORDS[name]}</dt><dd>${sayTerm(name, terms[name], page.toolServers)}</dd>`;
  return html`<dl class="facts"><dt>Kind</dt><dd>${page.kind === 'service' ? 'A service with keys of its own' : 'A program that works for one person'}</dd>
<dt>Purpose</dt><dd>${page.purpose === '' ? 'Named at each task' : markedHtml(page.purpose)}</dd>
<dt>Owner</dt><dd>${markedHtml(page.owner.name)}</dd>
${page.kind === 'service' && html`<dt>Deputy</dt><dd>${page.deputy === null ? 'nobody' : markedHtml(page.deputy.name)}</dd>`}
<dt>Client</dt><dd><code>${markedHtml(page.clientId)}</code></dd>
<dt>Since</dt><dd>${time(page.createdAt)}${page.proposedBy !== null && html`, proposed by ${markedHtml(page.proposedBy)}`}${page.approved !== null && html`, approved by ${markedHtml(page.approved.by)} ${time(page.approved.at)}`}</dd>
<dt>Last used</dt><dd>${page.lastUsedAt === null ? 'not yet' : time(page.lastUsedAt)}</dd>
${says('bound')}${page.kind === 'service' && html`${says('scopes')}${says('delegation_depth_max')}${says('trust_zone')}${says('dpop_required')}${says('key_days')}`}${says('ends_at')}${says('review_days')}</dl>`;
}

function proposalNote(page: AgentView): Html {
  const who = page.proposedBy === null ? 'A machine' : markedHtml(page.proposedBy);
  return html`<p class="note">${who} proposed this agent. It can do nothing until an administrator ${page.proposedBy !== null && html`other than ${markedHtml(page.proposedBy)} `}approves it as it is described here.</p>`;
}

/** Below everything that is decided about. */
function decideProposal({ may, csrf, id, owner, deputy }: AgentView): Html {
  const hidden = html`<input type="hidden" name="csrf" value="${csrf}">`;
  return html`<div class="decide">${
    may.approve &&
    html`<form method="post" action="/agents/${id}/approve" class="card">${hidden}
<p>${markedHtml(owner.name)} will answer for it${deputy !== null && html`, or ${markedHtml(deputy.name)}`}. It may start tasks from then on.</p>
<button class="primary">Approve this agent</button></form>`
  }${
    may.refuse &&
    html`<form method="post" action="/agents/${id}/refuse" class="card">${hidden}
<div class="field"><label for="refuse-reason">Why? (may stay empty)</label><input type="text" id="refuse-reason" name="reason" maxlength="500"></div>
<button class="secondary">${may.isAdministrator ? 'Refuse this agent' : 'Take it back'}</button></form>`
  }</div>`;
}

function waitingChange(page: AgentView, pending: NonNullable<AgentView['pending']>): Html {
  const { may, csrf, id, terms } = page;
  const hidden = html`<input type="hidden" name="csrf" value="${csrf}"><input type="hidden" name="change" value="${pending.id}">`;
  const names = Object.keys(pending.terms) as (keyof AgentTerms)[];
  const rows = names.map((name) => {
    const [from, to] = [terms[name], pending.terms[name]!].map((value) =>
      sayTerm(name, value as never, page.toolServers),
    );
    return html`<dt>${TERM_WORDS[name]}</dt><dd>Now: ${from}<br><strong>Asked for:</strong> ${to}${name === 'bound' && added(page, pending.terms.bound ?? null)}</dd>`;
  });
  return html`<section class="card"><h2>${markedHtml(pending.byName)} asks for more</h2>
<p>Since ${time(new Date(pending.at))}. Nothing of it holds until another administrator approves it.</p>
<dl class="facts">${rows}</dl></section>
<div class="decide">${
    may.approveChange &&
    html`<form method="post" action="/agents/${id}/change/approve" class="card">${hidden}<p>From then on the agent may do this.</p><button class="primary">Approve this change</button></form>`
  }${
    may.govern &&
    html`<form method="post" action="/agents/${id}/change/refuse" class="card">${hidden}<p>The agent stays as it is now.</p><button class="secondary">Drop this change</button></form>`
  }</div>`;
}

/** Of a long list, what is new in it. */
function added({ terms, toolServers }: AgentView, bound: AgentTerms['bound']): Html | false {
  if (bound === null) return false;
  return html`<br><strong>Of that is new:</strong> ${selectionHtml(addedTools(terms.bound ?? {}, bound), toolServers)}`;
}

function keysSection(page: AgentView, isGoverned: boolean): Html {
  const { keys, keysDueAt } = page;
  return html`<section><h2>Keys</h2>
${keys?.jwksUri != null && html`<p>It publishes its keys at <code>${markedHtml(keys.jwksUri)}</code>.</p>`}
${
  keys !== null && keys.keys.length > 0
    ? html`<div class="scroll"><table><thead><tr><th scope="col">Key</th><th scope="col">Since</th></tr></thead><tbody>${keys.keys.map(
        (key) => html`<tr><td><code>${key.thumbprint}</code></td><td>${time(key.since)}</td></tr>`,
      )}</tbody></table></div>`
    : keys?.jwksUri == null && html`<p>None are listed here: its platform says who it is.</p>`
}
${keysDueAt !== null && html`<p class="hint">The oldest of them must be gone by ${time(keysDueAt)}, or the agent is suspended.</p>`}
${isGoverned && keysForm(page)}</section>`;
}

function ownershipSection(page: AgentView): Html {
  return html`<section><details><summary>Who answered for it</summary><div class="scroll"><table><thead><tr><th scope="col">Person</th><th scope="col">As</th><th scope="col">From</th><th scope="col">Until</th></tr></thead><tbody>${page.ownerships.map(
    (one) =>
      html`<tr><td>${markedHtml(one.person)}</td><td>${one.role}</td><td>${time(one.since)}</td><td>${one.until === null ? 'now' : time(one.until)}</td></tr>`,
  )}</tbody></table></div></details></section>`;
}
