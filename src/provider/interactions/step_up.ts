import type { Context } from 'koa';
import { liveStepUpForScope, recordScopeLane } from '../../approvals/scope_lane.ts';
import { findStepUp } from '../../approvals/status.ts';
import type { SignedIn } from '../../model/person.ts';
import type { StepUpWaitingView } from '../../model/step_up_waiting_view.ts';
import { csrfToken } from '../../people/csrf.ts';
import { findTask } from '../../tasks/find.ts';
import type { StepUpState } from '../../wire/guard_api.ts';
import { stepUpIds } from '../../wire/scopes.ts';
import { STEP_UP_REFRESH_SECONDS, STEP_UP_WAIT_SECONDS } from '../limits.ts';
import { rememberScopeEcho } from '../scope_echo.ts';
import { interactionPurpose } from './consent.ts';
import type { Interactions } from './interactions.ts';
import { finishTrip, type Trip } from './trip.ts';

/** A trip that a client made because it was challenged for one step-up: it re-attaches to the task that is running. */
export interface StepUpTrip {
  readonly stepUpId: string;
  readonly state: StepUpState;
  readonly grantId: string;
}

const STEP_UP_OF_TRIP = (uid: string) => `trip_step_up:${uid}`;

/**
 * The step-up this trip is for. Ids that are spent, dead, of another client or another person count as absent, and the
 * trip is an ordinary one (design §5). Once found, the trip stays with its step-up also after that was decided.
 */
export async function stepUpOfTrip(
  { store, provider }: Interactions,
  trip: Trip,
  signedIn: SignedIn,
): Promise<StepUpTrip | null> {
  // A cache of the first look: without it the trip is one for an open step-up, and later an ordinary one.
  const known = await store.ephemeral.get(STEP_UP_OF_TRIP(trip.uid)).catch(forgetful);
  const stepUpId = known ?? (await firstLook(trip, signedIn));
  if (stepUpId === undefined) return null;
  const stepUp = await findStepUp(store.db, stepUpId);
  if (stepUp === undefined || stepUp.client_id !== trip.clientId || stepUp.requester_id !== signedIn.person.id)
    return null;
  const task = await findTask(store, stepUp.task_id);
  if (task?.isRunning !== true || task.oauth_grant_id === null) return null;
  const grant = await provider.Grant.find(task.oauth_grant_id);
  if (grant === undefined || grant.getResourceScope(trip.resource) === '') return null;
  const isOver = stepUp.state === 'open' && stepUp.expires_at.getTime() <= Date.now();
  return { stepUpId, state: isOver ? 'expired' : stepUp.state, grantId: task.oauth_grant_id };

  function forgetful(error: unknown): undefined {
    store.log.warn({ err: error }, 'the step-up of a browser trip is not remembered: the store cannot be asked');
  }

  async function firstLook(of: Trip, by: SignedIn): Promise<string | undefined> {
    const live = await liveStepUpForScope(store, { scope: of.scope, clientId: of.clientId, personId: by.person.id });
    // An id that the client did not name must never carry its trip.
    if (live === null || !stepUpIds(of.scope).includes(live.stepUpId)) return undefined;
    await recordScopeLane(store, of.clientId, 'works', by.person.id);
    const leftMs = of.interaction.exp * 1000 - Date.now();
    await store.ephemeral.put(STEP_UP_OF_TRIP(of.uid), live.stepUpId, leftMs).catch(forgetful);
    return live.stepUpId;
  }
}

export function waitingView(
  { store, path }: Interactions,
  trip: Trip,
  stepUp: StepUpTrip,
  signedIn: SignedIn,
): StepUpWaitingView {
  const hasTime = Date.now() / 1000 < trip.startedAt + STEP_UP_WAIT_SECONDS;
  return {
    uid: trip.uid,
    stepUpId: stepUp.stepUpId,
    state: stepUp.state,
    clientName: trip.clientName,
    stepUpUrl: stepUpAddress(path, trip, stepUp),
    continueUrl: `${path}/interaction/${trip.uid}/continue`,
    csrf: csrfToken(store, signedIn, interactionPurpose(trip)),
    refreshSeconds: stepUp.state === 'open' && hasTime ? STEP_UP_REFRESH_SECONDS : null,
  };
}

/** The step-up's own page, which leads back here. */
export function stepUpAddress(path: string, trip: Trip, stepUp: StepUpTrip): string {
  const back = `${path}/interaction/${trip.uid}/continue`;
  return `${path}/step-ups/${stepUp.stepUpId}?return_to=${encodeURIComponent(back)}`;
}

/**
 * Back to the client with an ordinary code for the base scope, in the family the client has already. Never
 * `access_denied`, which hangs real clients: a denial reaches the agent from the guard, with its reason.
 */
export async function finishStepUp(
  { store, provider }: Interactions,
  ctx: Context,
  trip: Trip,
  stepUp: StepUpTrip,
): Promise<void> {
  if (stepUp.state === 'approved') await rememberScopeEcho(store, trip.codeChallenge, stepUp.stepUpId);
  await finishTrip(provider, ctx, { consent: { grantId: stepUp.grantId } });
}
