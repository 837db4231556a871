import { accepted, type Result, refused } from '../../kernel/result.ts';
import { BY_SERVER } from '../../model/acting.ts';
import type { Store } from '../../store/store.ts';
import { disablePerson } from '../../tasks/revoke/disable_person.ts';
import { eventTimestamp, SESSION_REVOKED } from '../../wire/caep_1_0.ts';
import { ACCOUNT_DISABLED, ACCOUNT_ENABLED, ACCOUNT_PURGED, SESSIONS_REVOKED } from '../../wire/risc_1_0.ts';
import type { ReceivedEvent } from '../../wire/set_rfc8417.ts';
import { SESSION_CLOCK_SECONDS } from '../limits.ts';
import { endSessionsOf } from './end_sessions.ts';
import { type SetRefusal, setRefusal } from './verify_set.ts';

export type Effect = 'disabled' | 'sessions_ended' | 'none';

type Act = (store: Store, event: ReceivedEvent, personId: string, now: Date) => Promise<Result<Effect, SetRefusal>>;

/** The events we act on. `account-enabled` is noted only: a person here enables people again, who knows why they were not. */
const ACTS: Readonly<Record<string, Act>> = {
  [ACCOUNT_DISABLED]: disable,
  [ACCOUNT_PURGED]: disable,
  [ACCOUNT_ENABLED]: async () => accepted('none'),
  [SESSION_REVOKED]: endSessions,
  [SESSIONS_REVOKED]: endSessions,
};

export function isActedOn(type: string): boolean {
  return Object.hasOwn(ACTS, type);
}

/** Does what an event asks for. Doing it again, after a crash or beside another process, changes nothing. */
export function act(
  store: Store,
  event: ReceivedEvent,
  personId: string,
  now: Date,
): Promise<Result<Effect, SetRefusal>> {
  return ACTS[event.type]!(store, event, personId, now);
}

async function disable(store: Store, event: ReceivedEvent, personId: string): Promise<Result<Effect, SetRefusal>> {
  const reason = `${event.issuer} says: ${event.type.split('/').at(-1)}.`;
  const disabled = await disablePerson(store, { personId, by: BY_SERVER, reason });
  return disabled.ok
    ? accepted('disabled')
    : refused(setRefusal('not_done', 'invalid_request', disabled.refusal.message));
}

/** What began after the moment that the event is about is left alone: the person signed in anew. */
async function endSessions(
  store: Store,
  event: ReceivedEvent,
  personId: string,
  now: Date,
): Promise<Result<Effect, SetRefusal>> {
  const at = eventTimestamp(event.claims) ?? event.issuedAt;
  const before = new Date(Math.min(at.getTime(), now.getTime()) + SESSION_CLOCK_SECONDS * 1000);
  await endSessionsOf(store, personId, before);
  return accepted('sessions_ended');
}
