import { type Html, html } from '../../kernel/html.ts';
import type { StepUpWaitingView } from '../../model/step_up_waiting_view.ts';
import type { Page } from '../frame.ts';
import { markedHtml } from '../marked_html.ts';

/** The last page of a program's trip for one approval: how it stands, and the way back. */
export function stepUpWaitingPage(view: StepUpWaitingView): Page {
  const isOpen = view.state === 'open' || view.state === 'registered';
  const title = isOpen ? 'Waiting for a decision' : 'You can go back now';
  const body = html`<div class="narrow"><h1>${title}</h1>
<p>${words(view)}</p>
<p><a href="${view.stepUpUrl}">${isOpen ? 'Look at the request' : 'Look at it again'}</a></p>
<form method="post" action="${view.continueUrl}" class="card"><input type="hidden" name="csrf" value="${view.csrf}">
${isOpen && html`<p>You need not wait here. The request stays open, and the program can ask again for its result.</p>`}
<button class="${isOpen ? 'plain' : 'primary'}">Continue to ${markedHtml(view.clientName)}</button></form></div>`;
  const page: Page = { title, body, isFocused: true };
  return view.refreshSeconds === null ? page : { ...page, refreshSeconds: view.refreshSeconds };
}

function words({ state, clientName }: StepUpWaitingView): Html {
  switch (state) {
    case 'registered':
    case 'open':
      return html`Somebody who may decide has not decided yet. This page looks again by itself.`;
    case 'approved':
      return html`The call is approved. ${markedHtml(clientName)} goes on when you continue.`;
    case 'denied':
      return html`The call was denied. ${markedHtml(clientName)} is told the reason when you continue.`;
    case 'expired':
      return html`Nobody decided in time, which counts as a denial. Nothing has run.`;
    case 'withdrawn':
      return html`The request was withdrawn. Nothing has run.`;
  }
}
