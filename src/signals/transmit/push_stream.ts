import type { JWK } from 'jose';
import type { SafeFetch } from '../../kernel/safe_fetch.ts';
import type { Store } from '../../store/store.ts';
import { signSet } from '../../wire/set_rfc8417.ts';
import { PUSH_BACK_OFF_MS_MAX, PUSH_PAUSE_MS_MAX, PUSHED_IN_A_ROW_MAX, REFUSALS_MAX } from '../limits.ts';
import { AUTHORIZATION_PURPOSE } from '../streams/stream.ts';
import { type Pushed, pushSet } from './push.ts';
import {
  type ClaimedMessage,
  type ClaimedStream,
  giveUpOld,
  nextMessage,
  recordDelivered,
  recordFailure,
  recordRefusal,
  release,
} from './push_queue.ts';

export interface PushTimes {
  readonly leaseMs: number;
  readonly sendMs: number;
  readonly pollMs: number;
  readonly backOffMs: number;
  readonly undeliveredSeconds: number;
}

export interface Pushing {
  readonly store: Store;
  readonly fetch: SafeFetch;
  /** The private key that signs now. */
  readonly signer: () => JWK;
  readonly times: PushTimes;
  readonly stopping: AbortSignal;
}

/** Pushes what waits, one message after the other, until there is none, one fails, or others should have their turn. */
export async function pushStream(pushing: Pushing, stream: ClaimedStream): Promise<void> {
  const { store, times, stopping } = pushing;
  const authorization =
    stream.authorizationSealed === null
      ? null
      : store.vault.open(AUTHORIZATION_PURPOSE, stream.authorizationSealed).toString();
  for (let pushed = 0; pushed < PUSHED_IN_A_ROW_MAX && !stopping.aborted; pushed += 1) {
    const message = await nextMessage(store, stream, times.leaseMs);
    if (message === undefined) break;
    const token = await signSet(message.claims, pushing.signer());
    const signal = AbortSignal.any([AbortSignal.timeout(times.sendMs), stopping]);
    const outcome = await pushSet(pushing.fetch, { endpoint: stream.endpoint, authorization }, token, signal);
    if (stopping.aborted && outcome.kind !== 'delivered') break;
    if (!(await record(pushing, stream, message, outcome))) return;
  }
  await release(store, stream);
}

/** False when nothing more is to be pushed for now. */
async function record(
  { store, times }: Pushing,
  stream: ClaimedStream,
  message: ClaimedMessage,
  outcome: Pushed,
): Promise<boolean> {
  const about = { stream: stream.id, jti: message.jti, attempts: message.attempts };
  if (outcome.kind === 'delivered') {
    await recordDelivered(store, stream, message.jti);
    store.log.debug(about, 'a security event was delivered');
    return true;
  }
  const { reason } = outcome;
  const delayMs = backOffMs(outcome.kind === 'refused' ? message.attempts - 1 : stream.failures, times.backOffMs);
  if (outcome.kind === 'refused') {
    const refused = { jti: message.jti, reason, delayMs, refusalsMax: REFUSALS_MAX };
    if (await recordRefusal(store, stream, refused)) {
      store.log.error({ ...about, reason }, `a security event was given up: its receiver refused it. ${LOOK_AT_IT}`);
    } else {
      store.log.warn({ ...about, reason }, 'a security event was refused by its receiver; it is tried again');
    }
    return false;
  }
  const pauseMs = Math.max(delayMs, Math.min(outcome.pauseMs ?? 0, PUSH_PAUSE_MS_MAX));
  await recordFailure(store, stream, { reason, delayMs: pauseMs });
  const dead = await giveUpOld(store, stream, times.undeliveredSeconds);
  if (dead > 0) {
    store.log.error(
      { stream: stream.id, messages: dead, reason },
      `security events were given up: their receiver failed for too long. ${LOOK_AT_IT}`,
    );
  }
  store.log.warn({ ...about, reason, retry_in_ms: Math.round(pauseMs) }, 'a security event was not delivered');
  return false;
}

const LOOK_AT_IT = 'GET /api/v1/signals/streams/{id}/dead-letters shows it; POST it there to try again';

/** Half of it is random, so that streams of one receiver part ways. */
function backOffMs(failures: number, firstMs: number): number {
  const full = Math.min(PUSH_BACK_OFF_MS_MAX, firstMs * 2 ** Math.min(failures, 30));
  return full * (0.5 + Math.random() / 2);
}
