import { type Alarm, createAlarm } from '../../events/alarm.ts';
import type { SafeFetch } from '../../kernel/safe_fetch.ts';
import type { Keyring } from '../../keys/keyring.ts';
import type { Unsubscribe } from '../../store/ephemeral.ts';
import type { Store } from '../../store/store.ts';
import { CHANNELS } from '../../store/wake.ts';
import {
  FILL_POLL_MS,
  PUSH_BACK_OFF_MS,
  PUSH_LEASE_MS,
  PUSH_POLL_MS,
  PUSH_SEND_MS_MAX,
  PUSH_STOP_MS_MAX,
  PUSHES_AT_A_TIME_MAX,
  SIGNALS_RETRY_MS,
  UNDELIVERED_SECONDS_MAX,
} from '../limits.ts';
import { fillStreams } from './fill.ts';
import { claimStreams } from './push_queue.ts';
import { type Pushing, type PushTimes, pushStream } from './push_stream.ts';

export interface TransmitParts {
  readonly fetch: SafeFetch;
  /** Signs with the key of tokens. */
  readonly keyring: Pick<Keyring, 'signer'>;
  readonly times?: Partial<PushTimes>;
}

const TIMES: PushTimes = {
  leaseMs: PUSH_LEASE_MS,
  sendMs: PUSH_SEND_MS_MAX,
  pollMs: PUSH_POLL_MS,
  backOffMs: PUSH_BACK_OFF_MS,
  undeliveredSeconds: UNDELIVERED_SECONDS_MAX,
};

/** In every process: turns what is sealed into messages, and pushes them to receivers that do not poll. */
export function startTransmitting(store: Store, parts: TransmitParts): { stop(): Promise<void> } {
  const filling = startFilling(store);
  const pushing = startPushing(store, parts);
  return {
    async stop() {
      await Promise.all([filling.stop(), pushing.stop()]);
    },
  };
}

function startFilling(store: Store): { stop(): Promise<void> } {
  const alarm = createAlarm();
  const loop = startLoop(store, alarm, CHANNELS.outbox, async () => {
    const isMore = await fillStreams(store);
    if (!isMore) await alarm.wait(FILL_POLL_MS);
  });
  return { stop: loop };
}

function startPushing(store: Store, { fetch, keyring, times }: TransmitParts): { stop(): Promise<void> } {
  const alarm = createAlarm();
  const stopping = new AbortController();
  const busy = new Set<Promise<void>>();
  const signer = () => keyring.signer('token');
  const pushing: Pushing = { store, fetch, signer, times: { ...TIMES, ...times }, stopping: stopping.signal };
  const stopLoop = startLoop(store, alarm, CHANNELS.signals, async () => {
    const max = PUSHES_AT_A_TIME_MAX - busy.size;
    const streams = max === 0 ? [] : await claimStreams(store, { max, leaseMs: pushing.times.leaseMs });
    for (const stream of streams) {
      const done = pushStream(pushing, stream)
        // The lease ends by itself and the message goes out again, with the same id.
        .catch((error: unknown) => store.log.error({ err: error, stream: stream.id }, 'pushing security events failed'))
        .finally(() => {
          busy.delete(done);
          alarm.ring();
        });
      busy.add(done);
    }
    await alarm.wait(pushing.times.pollMs);
  });
  return {
    async stop() {
      await stopLoop();
      const timer = setTimeout(() => stopping.abort(), PUSH_STOP_MS_MAX);
      await Promise.all(busy);
      clearTimeout(timer);
    },
  };
}

/** Runs `round` again and again, and sooner when the channel rings. Answers how to stop. */
function startLoop(store: Store, alarm: Alarm, channel: string, round: () => Promise<void>): () => Promise<void> {
  let isStopped = false;
  const run = async () => {
    const subscription = subscribe(store, channel, alarm.ring);
    while (!isStopped) {
      try {
        alarm.wasRung();
        await round();
      } catch (error) {
        store.log.error({ err: error }, 'security events could not be passed on; it is tried again');
        await alarm.pause(SIGNALS_RETRY_MS);
      }
    }
    (await subscription)?.();
  };
  const running = run();
  return async () => {
    isStopped = true;
    alarm.end();
    await running;
  };
}

async function subscribe(store: Store, channel: string, wake: () => void): Promise<Unsubscribe | null> {
  try {
    return await store.ephemeral.subscribe(channel, wake);
  } catch (error) {
    store.log.warn({ err: error }, 'security events are passed on without wake-ups; it looks every second instead');
    return null;
  }
}
