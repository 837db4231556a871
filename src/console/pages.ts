import type { ConsentView } from '../model/consent_view.ts';
import type { SignedIn } from '../model/person.ts';
import type { StepUpWaitingView } from '../model/step_up_waiting_view.ts';
import type { Store } from '../store/store.ts';
import type { Refusal } from '../wire/refusals.ts';
import { anonymousFrame, renderPage } from './frame.ts';
import { setPageHeaders } from './headers.ts';
import { consentPage } from './pages/consent_page.ts';
import { errorPage } from './pages/error_page.ts';
import { stepUpWaitingPage } from './pages/step_up_waiting_page.ts';
import { frameOf } from './visit.ts';

/** The pages that the OAuth engine shows in the middle of an authorization; `server.ts` hands them to it. */
export function createPages(store: Store) {
  return {
    consent: (view: ConsentView, signedIn: SignedIn) => renderPage(frameOf({ store, signedIn }), consentPage(view)),
    stepUpWaiting: (view: StepUpWaitingView, signedIn: SignedIn) =>
      renderPage(frameOf({ store, signedIn }), stepUpWaitingPage(view)),
    error: (refusal: Refusal) => renderPage(anonymousFrame(store), errorPage({ refusal })),
    setHeaders: setPageHeaders,
  };
}
