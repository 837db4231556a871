import { type Html, html } from '../../kernel/html.ts';
import type { StreamOverview } from '../../signals/streams/overview.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';
import { plural, time } from '../words.ts';

/** Whom security events are told to, what waits for them and what was given up; and whose events are acted on here. */
export function signalsPage(streams: readonly StreamOverview[], transmitters: readonly string[], csrf: string): Page {
  const body = html`<h1>Shared signals</h1>
<h2>Who is told</h2>
<p>When sessions of people, agents and tasks end, or credentials change, these receivers are told (OpenID Shared Signals).</p>
${
  streams.length === 0
    ? html`<p class="empty">A receiver will be listed here once it has made a stream. Give it an API token of scope <code>signals</code>, and the address of this server: it finds the rest by itself.</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="Receivers"><table><thead><tr><th scope="col">Receiver</th><th scope="col">How</th><th scope="col">Waiting</th><th scope="col">Given up</th><th scope="col"></th></tr></thead><tbody>${streams.map((stream) => row(stream, csrf))}</tbody></table></div>`
}
<h2>Whose events are acted on</h2>
${
  transmitters.length === 0
    ? html`<p class="empty">None. Name your identity provider under <code>signals.transmitters</code> in the configuration, so that an account that is disabled there is disabled here.</p>`
    : html`<ul>${transmitters.map((issuer) => html`<li>${markedHtml(issuer)}</li>`)}</ul>`
}
<p><a href="/audit">Audit</a></p>`;
  return { title: 'Shared signals', body, section: 'audit' };
}

function row(stream: StreamOverview, csrf: string): Html {
  const { id, receiver, method, endpoint, status, waiting, dead } = stream;
  return html`<tr><td>${markedHtml(receiver)}<br><code class="muted">${id}</code></td><td>${
    method === 'push' ? html`Pushed to ${markedHtml(endpoint ?? '')}` : html`Polls`
  }${status !== 'enabled' && html`<br><strong>${status}</strong>`}<br><span class="muted">${
    stream.lastDeliveredAt === null ? 'nothing delivered yet' : html`last delivered ${time(stream.lastDeliveredAt)}`
  }</span></td><td>${waiting}${
    stream.failingSince !== null &&
    html`<br><span class="muted">fails since ${time(stream.failingSince)}: ${markedHtml(stream.lastError ?? '')}</span>`
  }</td><td>${dead === 0 ? '0' : html`${plural(dead, 'event')}<br><span class="muted">${markedHtml(stream.lastError ?? '')}</span>`}</td><td>${
    dead > 0 && button(`/signals/${id}/retry`, 'Send again', csrf)
  }${button(`/signals/${id}/delete`, 'Stop telling', csrf)}</td></tr>`;
}

function button(action: string, label: string, csrf: string): Html {
  return html`<form method="post" action="${action}"><input type="hidden" name="csrf" value="${csrf}"><button class="plain">${label}</button></form>`;
}
