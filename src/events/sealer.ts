import type { Logger } from '../kernel/logger.ts';
import type { Unsubscribe } from '../store/ephemeral.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { createAlarm } from './alarm.ts';
import type { CheckpointKey } from './checkpoint_key.ts';
import { SEAL_EVENTS_MAX, SEAL_INTERVAL_MS_MIN, SEAL_RETRY_MS, SEAL_WAIT_MS_MAX } from './limits.ts';
import { sealBatch } from './seal.ts';

export interface Sealer {
  /** Seals everything that had committed when it was called. */
  sealNow(): Promise<void>;
  /** Stops after the seal that is under way. What is left is sealed by another process, or at the next start. */
  stop(): Promise<void>;
}

/**
 * Seals in the background: at once when a commit wakes it, gathering under load, and by looking every 100 ms for what no
 * wake-up announced. Every process may run one; a lock in PostgreSQL lets one at a time work.
 */
export function startSealer(
  store: Pick<Store, 'db' | 'vault' | 'ephemeral'>,
  options: { readonly checkpointKey: CheckpointKey; readonly log: Logger },
): Sealer {
  const { checkpointKey, log } = options;
  const alarm = createAlarm();
  let isStopped = false;

  const seal = async (isPatient: boolean): Promise<number> => {
    const sealed = await sealBatch(store, checkpointKey, isPatient);
    if (sealed === 'busy' || sealed === 0) return 0;
    // The outbox hands on what has a position; a reader that misses this finds it by polling.
    await store.ephemeral.publish(CHANNELS.outbox, '').catch((error: unknown) => {
      log.warn({ err: error }, 'the readers of the event log could not be woken; they will find its events by polling');
    });
    return sealed;
  };
  const run = async (): Promise<void> => {
    const subscription = subscribe(store, alarm.ring, log);
    while (!isStopped) {
      try {
        const sealed = alarm.wasRung() || (await hasUnsealed(store)) ? await seal(false) : 0;
        if (sealed === SEAL_EVENTS_MAX) continue;
        if (sealed > 0) await alarm.pause(SEAL_INTERVAL_MS_MIN);
        else await alarm.wait(SEAL_WAIT_MS_MAX);
      } catch (error) {
        log.error({ err: error }, 'the event log could not be sealed; it is tried again');
        await alarm.pause(SEAL_RETRY_MS);
      }
    }
    (await subscription)?.();
  };
  const running = run();
  return {
    async sealNow() {
      while ((await seal(true)) === SEAL_EVENTS_MAX) {}
    },
    async stop() {
      isStopped = true;
      alarm.end();
      await running;
    },
  };
}

async function subscribe(store: Pick<Store, 'ephemeral'>, wake: () => void, log: Logger): Promise<Unsubscribe | null> {
  try {
    return await store.ephemeral.subscribe(CHANNELS.sealer, wake);
  } catch (error) {
    log.warn({ err: error }, 'the sealer of the event log hears no wake-ups; it looks every 100 ms instead');
    return null;
  }
}

async function hasUnsealed(store: Pick<Store, 'db'>): Promise<boolean> {
  const row = await store.db
    .selectFrom('events')
    .select('id')
    .where('position', 'is', null)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
