import { performance } from 'node:perf_hooks';
import type { JWTVerifyGetKey } from 'jose';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { RemoteKeySets } from '../../keys/remote_key_sets.ts';
import { BY_SERVER } from '../../model/acting.ts';
import type { Store } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import type { ReceivedEvent } from '../../wire/set_rfc8417.ts';
import { REFUSALS_RECORDED_PER_MINUTE } from '../limits.ts';
import { act, type Effect, isActedOn } from './act.ts';
import { findPersonOf } from './find_person.ts';
import type { Transmitter } from './transmitter.ts';
import { claimedIssuer, type SetRefusal, setRefusal, verifySet } from './verify_set.ts';

export interface SignalReceiver {
  /**
   * Acts on a security event token once, whoever sends it how often to which process. Throws `KeysUnreachable`, or an
   * outage of PostgreSQL, when it is not known what to do: the transmitter is to send it again.
   */
  receive(token: string): Promise<Result<null, SetRefusal>>;
}

interface KnownTransmitter {
  readonly transmitter: Transmitter;
  readonly keys: JWTVerifyGetKey;
}

export function createSignalReceiver(
  store: Store,
  transmitters: readonly Transmitter[],
  keySets: RemoteKeySets,
): SignalReceiver {
  const known = new Map<string, KnownTransmitter>();
  for (const transmitter of transmitters) {
    const { issuer, jwks_uri: jwksUri } = transmitter;
    known.set(issuer, { transmitter, keys: keySets.finder({ issuer, jwksUri, format: 'jwks' }) });
  }
  return {
    async receive(token) {
      const from = known.get(claimedIssuer(token) ?? '');
      const done = await handle(store, token, from);
      if (!done.ok) await recordRefusal(store, from?.transmitter, done.refusal);
      return done.ok || IS_TAKEN.includes(done.refusal.reason) ? accepted(null) : done;
    },
  };
}

/**
 * Refused here, but taken: the transmitter did nothing wrong. RFC 8935 §2 has a repetition answered as the first time; and who
 * is known here is not told.
 */
const IS_TAKEN: readonly SetRefusal['reason'][] = ['replayed', 'subject_unknown', 'not_done'];

async function handle(
  store: Store,
  token: string,
  from: KnownTransmitter | undefined,
): Promise<Result<null, SetRefusal>> {
  if (from === undefined) {
    const isToken = claimedIssuer(token) !== undefined;
    return refused(
      isToken
        ? setRefusal('issuer_unknown', 'invalid_issuer', 'The iss is not a known transmitter.')
        : setRefusal('malformed', 'invalid_request', 'It is not a signed security event token.'),
    );
  }
  const now = new Date();
  const verified = await verifySet(token, from.transmitter, from.keys, now);
  if (!verified.ok) return verified;
  const event = verified.value;
  if (!isActedOn(event.type)) {
    store.log.debug({ transmitter: event.issuer, type: event.type }, 'a security event that changes nothing here');
    return accepted(null);
  }
  if (await wasReceived(store, event)) {
    return refused(setRefusal('replayed', 'invalid_request', 'This token was received before.'));
  }
  const person = await findPersonOf(store, from.transmitter, event.subject);
  if (!person.ok) return person;
  const done = await act(store, event, person.value, now);
  if (!done.ok) return done;
  await recordReceived(store, event, person.value, done.value);
  return accepted(null);
}

async function wasReceived(store: Store, { issuer, jti }: ReceivedEvent): Promise<boolean> {
  const row = await store.db
    .selectFrom('received_signals')
    .select('jti')
    .where('issuer', '=', issuer)
    .where('jti', '=', jti)
    .executeTakeFirst();
  return row !== undefined;
}

/** After it was acted on, which may be done twice: a mark made before would lose the event with a crash in between. */
async function recordReceived(store: Store, event: ReceivedEvent, personId: string, effect: Effect): Promise<void> {
  const { issuer, jti, type } = event;
  await transact(store, async (tx, afterCommit) => {
    const isFirst = await tx
      .insertInto('received_signals')
      .values({ issuer, jti })
      .onConflict((conflict) => conflict.doNothing())
      .returning('jti')
      .executeTakeFirst();
    if (isFirst === undefined) return;
    await append(store, tx, afterCommit, {
      kind: 'signal.received',
      ids: { transmitter: issuer, jti, type, person: personId, effect, by: BY_SERVER.id, by_kind: BY_SERVER.kind },
    });
  });
  store.log.info({ transmitter: issuer, type, person: personId, effect }, 'a security event was acted on');
}

let isWarnedUntilMs = 0;

/** Anybody can send nonsense: what is more than some in a minute is counted, and not recorded. */
async function recordRefusal(
  store: Store,
  transmitter: Transmitter | undefined,
  { reason, message }: SetRefusal,
): Promise<void> {
  const about = { transmitter: transmitter?.issuer ?? null, reason };
  const count = await store.ephemeral.increment('signal_refusals', 60_000).catch(() => 0);
  if (count > REFUSALS_RECORDED_PER_MINUTE) {
    if (performance.now() > isWarnedUntilMs) {
      store.log.warn(about, 'more security events are refused than are recorded; somebody sends many of them');
      isWarnedUntilMs = performance.now() + 60_000;
    }
    return;
  }
  store.log.warn({ ...about, message }, 'a security event was refused');
  await transact(store, (tx, afterCommit) =>
    append(store, tx, afterCommit, { kind: 'signal.refused', ids: about, personal: { message } }),
  );
}
