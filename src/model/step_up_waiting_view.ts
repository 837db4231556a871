import type { StepUpState } from '../wire/guard_api.ts';

/** The tab a client opened for a step-up: it ends with one click, on the way back to the client. */
export interface StepUpWaitingView {
  readonly uid: string;
  readonly stepUpId: string;
  readonly state: StepUpState;
  readonly clientName: string;
  /** The step-up itself, where those who may decide it decide. */
  readonly stepUpUrl: string;
  /** Where the form with the one button posts `csrf` to. */
  readonly continueUrl: string;
  readonly csrf: string;
  /** Look again after this many seconds while it is undecided; null when there is nothing more to wait for. */
  readonly refreshSeconds: number | null;
}
