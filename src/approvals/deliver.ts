import { createAlarm } from '../events/alarm.ts';
import type { Unsubscribe } from '../store/ephemeral.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import type { Channel, Delivery } from './channel.ts';
import {
  DELIVERY_ATTEMPTS_MAX,
  DELIVERY_BACK_OFF_MS,
  DELIVERY_BACK_OFF_MS_MAX,
  DELIVERY_CLAIM_RETRY_MS,
  DELIVERY_LEASE_MS,
  DELIVERY_PAUSE_MS_MAX,
  DELIVERY_POLL_MS,
  DELIVERY_SEND_MS_MAX,
  DELIVERY_STOP_MS_MAX,
  SENDS_AT_A_TIME_MAX,
} from './limits.ts';
import { composeMessage } from './notify.ts';
import { type Claimed, claim, pause, recordEnd, recordRetry, recordSent } from './outbox.ts';

export interface DeliveryTimes {
  readonly leaseMs: number;
  readonly sendMs: number;
  readonly pollMs: number;
  readonly backOffMs: number;
}

const TIMES: DeliveryTimes = {
  leaseMs: DELIVERY_LEASE_MS,
  sendMs: DELIVERY_SEND_MS_MAX,
  pollMs: DELIVERY_POLL_MS,
  backOffMs: DELIVERY_BACK_OFF_MS,
};

/**
 * Sends what the outbox holds, in every process and for every channel on its own, so that a slow receiver holds up
 * nobody else's. At most `SENDS_AT_A_TIME_MAX` messages per channel are taken at a time: that many may go out twice when the
 * process dies.
 */
export function startDelivery(
  store: Store,
  channels: readonly Channel[],
  times: Partial<DeliveryTimes> = {},
): { stop(): Promise<void> } {
  const workers = channels.map((channel) => startWorker(store, channel, { ...TIMES, ...times }));
  return {
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()));
    },
  };
}

function startWorker(store: Store, channel: Channel, times: DeliveryTimes): { stop(): Promise<void> } {
  const alarm = createAlarm();
  const stopping = new AbortController();
  const sending = new Set<Promise<void>>();
  let isStopped = false;

  const take = async () => {
    const free = SENDS_AT_A_TIME_MAX - sending.size;
    if (free === 0) return;
    for (const message of await claim(store, channel.name, { max: free, leaseMs: times.leaseMs })) {
      const sent = deliver(store, channel, message, { times, stopping: stopping.signal }).finally(() => {
        sending.delete(sent);
        alarm.ring();
      });
      sending.add(sent);
    }
  };
  const run = async () => {
    const subscription = subscribe(store, alarm.ring);
    while (!isStopped) {
      try {
        alarm.wasRung();
        await take();
        await alarm.wait(times.pollMs);
      } catch (error) {
        store.log.error({ err: error, channel: channel.name }, 'the outbox could not be read; it is tried again');
        await alarm.pause(DELIVERY_CLAIM_RETRY_MS);
      }
    }
    (await subscription)?.();
  };
  const running = run();
  return {
    async stop() {
      isStopped = true;
      alarm.end();
      await running;
      const timer = setTimeout(() => stopping.abort(), DELIVERY_STOP_MS_MAX);
      await Promise.all(sending);
      clearTimeout(timer);
    },
  };
}

async function subscribe(store: Store, wake: () => void): Promise<Unsubscribe | null> {
  try {
    return await store.ephemeral.subscribe(CHANNELS.delivery, wake);
  } catch (error) {
    store.log.warn({ err: error }, 'the outbox hears no wake-ups; it looks every second instead');
    return null;
  }
}

interface Attempt {
  readonly times: DeliveryTimes;
  readonly stopping: AbortSignal;
}

async function deliver(store: Store, channel: Channel, entry: Claimed, attempt: Attempt): Promise<void> {
  try {
    const composed = await composeMessage(store, entry);
    if ('dropped' in composed) return await recordEnd(store, entry, { state: 'dropped', reason: composed.dropped });
    const signal = AbortSignal.any([AbortSignal.timeout(attempt.times.sendMs), attempt.stopping]);
    const delivery = await channel.send(composed.message, signal).catch((error: unknown): Delivery => {
      store.log.error({ err: error, channel: channel.name, message: entry.id }, 'a channel failed; this is a bug');
      return { kind: 'retry', reason: 'The channel failed.', pauseMs: null };
    });
    await record(store, channel.name, { entry, delivery, attempt });
  } catch (error) {
    // The lease ends by itself and the message goes out again: it may arrive twice, with one id.
    store.log.warn(
      { err: error, channel: channel.name, message: entry.id },
      'what became of a message is not recorded',
    );
  }
}

async function record(
  store: Store,
  channel: string,
  { entry, delivery, attempt }: { readonly entry: Claimed; readonly delivery: Delivery; readonly attempt: Attempt },
): Promise<void> {
  const about = { channel, message: entry.id, kind: entry.kind, subject: entry.subjectId, attempts: entry.attempts };
  if (delivery.kind === 'sent') {
    await recordSent(store, entry);
    store.log.debug(about, 'a message was delivered');
    return;
  }
  if (delivery.kind === 'retry' && attempt.stopping.aborted) {
    return recordRetry(store, entry, { reason: 'This process stopped while it was sending.', delayMs: 0 });
  }
  if (delivery.kind === 'failed' || entry.attempts >= DELIVERY_ATTEMPTS_MAX) {
    await recordEnd(store, entry, { state: 'failed', reason: delivery.reason });
    store.log.error(
      { ...about, reason: delivery.reason },
      'a message could not be delivered and is given up; what it tells of holds all the same (step-ups can be decided in the inbox). It is among the failed messages, where an administrator can send it again',
    );
    return;
  }
  const pauseMs = Math.min(delivery.pauseMs ?? 0, DELIVERY_PAUSE_MS_MAX);
  if (pauseMs > 0) await pause(store, channel, pauseMs);
  const delayMs = Math.max(backOffMs(entry.attempts, attempt.times.backOffMs), pauseMs);
  await recordRetry(store, entry, { reason: delivery.reason, delayMs });
  store.log.warn(
    { ...about, reason: delivery.reason, retry_in_ms: Math.round(delayMs) },
    'a message was not delivered; it is tried again',
  );
}

/** Doubles from one attempt to the next, up to an hour; half of it is random, so that messages part ways. */
function backOffMs(attempts: number, firstMs: number): number {
  const full = Math.min(DELIVERY_BACK_OFF_MS_MAX, firstMs * 2 ** (attempts - 1));
  return full * (0.5 + Math.random() / 2);
}
