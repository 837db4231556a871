import type { ConsentView } from '../model/consent_view.ts';
import type { Refusal } from '../wire/refusals.ts';
import { anonymousFrame, renderPage } from './frame.ts';
import { setPageHeaders } from './headers.ts';
import { consentPage } from './pages/consent_page.ts';
import { brokenPage, errorPage } from './pages/error_page.ts';

/** The pages that the OAuth engine shows in the middle of an authorization. `server.ts` hands them to it. */
export interface ProviderPages {
  consent(view: ConsentView): string;
  error(refusal: Refusal): string;
  /** A bug or an outage; the reference stands in the log. */
  broken(reference: string): string;
  /** Sets the headers of a page of ours; `formTargets` names origins that a form may lead to by redirect. */
  readonly setHeaders: typeof setPageHeaders;
}

export function createPages(rules: { readonly singleOperator: boolean }): ProviderPages {
  const frame = anonymousFrame(rules.singleOperator);
  return {
    consent: (view) => renderPage(frame, consentPage(view)),
    error: (refusal) => renderPage(frame, errorPage({ refusal })),
    broken: (reference) => renderPage(frame, brokenPage(reference)),
    setHeaders: setPageHeaders,
  };
}

export function renderConsent(view: ConsentView, rules = { singleOperator: false }): string {
  return createPages(rules).consent(view);
}

export function renderError(refusal: Refusal, rules = { singleOperator: false }): string {
  return createPages(rules).error(refusal);
}
