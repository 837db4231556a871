import type { Context } from 'koa';
import type { ConsentView } from '../../model/consent_view.ts';
import type { SignedIn } from '../../model/person.ts';
import type { StepUpWaitingView } from '../../model/step_up_waiting_view.ts';
import type { Refusal } from '../../wire/refusals.ts';

/** Pages as HTML, rendered elsewhere. The consent form posts what `readConsentForm` reads, to `/interaction/<uid>/consent`. */
export interface InteractionPages {
  consent(view: ConsentView, signedIn: SignedIn): string;
  stepUpWaiting(view: StepUpWaitingView, signedIn: SignedIn): string;
  error(refused: Refusal): string;
  /** Sets the security headers of a page whose forms lead to these origins or schemes, beside our own. */
  setHeaders(ctx: Context, formTargets: readonly string[]): void;
}
