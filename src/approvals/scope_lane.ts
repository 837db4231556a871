import { sql } from 'kysely';
import { sha256Base64url } from '../kernel/digest.ts';
import type { Store } from '../store/store.ts';
import type { StepUpState } from '../wire/guard_api.ts';
import { stepUpIds } from '../wire/scopes.ts';

/** After this the challenge counts as failed: the client did not come back to `/authorize` with the scope. */
const CHALLENGE_OUTSTANDING_MS = 120_000;
/** A client that did not follow a challenge is challenged again after this: it may have been updated, or its user distracted. */
const FAILED_LANE_SECONDS = 86_400;

export interface ScopeStepUp {
  readonly stepUpId: string;
  readonly taskId: string;
  readonly requesterId: string;
  readonly state: StepUpState;
}

/**
 * The one step-up a scope string can carry: open or approved and unused, of this client, and of this person once they
 * are signed in. Spent, dead, foreign and unknown ids are ignored silently (design §5).
 */
export async function liveStepUpForScope(
  store: Store,
  input: { readonly scope: string; readonly clientId: string; readonly personId?: string },
): Promise<ScopeStepUp | null> {
  const ids = stepUpIds(input.scope);
  if (ids.length === 0) return null;
  let query = store.db
    .selectFrom('step_ups as s')
    .leftJoin('grants as g', 'g.step_up_id', 's.id')
    .select(['s.id as stepUpId', 's.task_id as taskId', 's.requester_id as requesterId', 's.state'])
    .where('s.id', 'in', ids.slice(-20))
    .where('s.client_id', '=', input.clientId)
    .where(
      // Parenthesized as a whole: Kysely joins it to the other conditions with "and".
      sql<boolean>`((s.state = 'open' and s.expires_at > clock_timestamp())
        or (s.state = 'approved' and g.revoked_at is null and g.uses < g.max_uses and g.expires_at > clock_timestamp()))`,
    );
  if (input.personId !== undefined) query = query.where('s.requester_id', '=', input.personId);
  const row = await query.orderBy('s.created_at', 'desc').limit(1).executeTakeFirst();
  return row ?? null;
}

// A client id may be an address longer than a key may be.
const outstandingKey = (clientId: string, personId: string) =>
  `scope-challenge:${sha256Base64url(clientId, '\0', personId)}`;

/**
 * Whether to challenge this client by scope now: never after it failed once, and one at a time per client and person
 * (parallel browser trips break real clients). Reserves the trip when it answers true.
 */
export async function reserveScopeChallenge(
  store: Store,
  input: { readonly clientId: string; readonly personId: string; readonly stepUpId: string },
): Promise<boolean> {
  const lane = await store.db
    .selectFrom('client_lanes')
    .select('scope_lane')
    .where('client_id', '=', input.clientId)
    .where('person_id', '=', input.personId)
    .where(
      sql<boolean>`(scope_lane = 'works' or updated_at > clock_timestamp() - make_interval(secs => ${FAILED_LANE_SECONDS}))`,
    )
    .executeTakeFirst();
  if (lane?.scope_lane === 'fails') return false;
  const trip = await reserveTrip(store, outstandingKey(input.clientId, input.personId), input.stepUpId);
  // A client that was challenged and called again without coming to /authorize does not follow challenges.
  if (trip === 'same' && lane?.scope_lane !== 'works') {
    await recordScopeLane(store, input.clientId, 'fails', input.personId);
  }
  return trip === 'reserved';
}

/** Whether the one trip is this one's now, was this one's already, or is another's: also when the store cannot be asked. */
async function reserveTrip(store: Store, key: string, stepUpId: string): Promise<'reserved' | 'same' | 'taken'> {
  try {
    if (await store.ephemeral.putIfAbsent(key, stepUpId, CHALLENGE_OUTSTANDING_MS)) return 'reserved';
    return (await store.ephemeral.get(key)) === stepUpId ? 'same' : 'taken';
  } catch (error) {
    store.log.warn({ err: error }, 'no client is sent on a browser trip: the store cannot be asked');
    return 'taken';
  }
}

/** Records what this client did with a challenge in this person's hands; `works` also ends the trip, so that the next may start. */
export async function recordScopeLane(
  store: Store,
  clientId: string,
  lane: 'works' | 'fails',
  personId: string,
): Promise<void> {
  await store.db
    .insertInto('client_lanes')
    .values({ client_id: clientId, person_id: personId, scope_lane: lane })
    .onConflict((conflict) =>
      conflict
        .columns(['client_id', 'person_id'])
        .doUpdateSet({ scope_lane: lane, updated_at: sql<Date>`clock_timestamp()` }),
    )
    .execute();
  if (lane !== 'works') return;
  await store.ephemeral.delete(outstandingKey(clientId, personId)).catch((error: unknown) => {
    store.log.warn({ err: error }, 'the next browser trip of a client has to wait: the store cannot be asked');
  });
}
