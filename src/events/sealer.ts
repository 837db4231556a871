import type { Logger } from '../kernel/logger.ts';
import type { Unsubscribe } from '../store/ephemeral.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { createAlarm } from './alarm.ts';
import type { CheckpointKey } from './checkpoint_key.ts';
import { SEAL_BUSY_MS, SEAL_EVENTS_MAX, SEAL_INTERVAL_MS_MIN, SEAL_RETRY_MS, SEAL_WAIT_MS_MAX } from './limits.ts';
import { sealBatch } from './seal.ts';
import { onSealerBell } from './sealer_bell.ts';

export interface Sealer {
  /** Seals everything that had committed when it was called. */
  sealNow(): Promise<void>;
  /** Stops after the seal that is under way. What is left is sealed by another process, or at the next start. */
  stop(): Promise<void>;
}

/**
 * Seals in the background: at once when a commit of this process wakes it, gathering under load, and by looking every
 * 100 ms for what another process committed and did not seal. Every process runs one; a lock in PostgreSQL lets one at a
 * time work, and each hears when another has sealed, so that many processes make no more checkpoints than one.
 */
export function startSealer(
  store: Pick<Store, 'db' | 'vault' | 'ephemeral'>,
  options: { readonly checkpointKey: CheckpointKey; readonly log: Logger },
): Sealer {
  const { checkpointKey, log } = options;
  const alarm = createAlarm();
  let isStopped = false;

  let sealedAtMs = Number.NEGATIVE_INFINITY;
  const noteSeal = (): void => {
    sealedAtMs = performance.now();
  };

  const seal = async (isPatient: boolean): Promise<number | 'busy'> => {
    const sealed = await sealBatch(store, checkpointKey, isPatient);
    if (sealed === 'busy' || sealed === 0) return sealed;
    noteSeal();
    // The outbox hands on what has a position; a reader that misses this finds it by polling.
    await store.ephemeral.publish(CHANNELS.outbox, '').catch((error: unknown) => {
      log.warn({ err: error }, 'the readers of the event log could not be woken; they will find its events by polling');
    });
    return sealed;
  };
  const run = async (): Promise<void> => {
    const stopRinging = onSealerBell(store, alarm.ring);
    const subscription = subscribe(store, noteSeal, log);
    let isBehind = false;
    while (!isStopped) {
      try {
        const isNeeded: boolean = isBehind || alarm.wasRung() || (await hasUnsealed(store));
        if (isNeeded && !isBehind) await alarm.pause(SEAL_INTERVAL_MS_MIN - (performance.now() - sealedAtMs));
        const sealed: number | 'busy' = isNeeded ? await seal(false) : 0;
        isBehind = sealed === SEAL_EVENTS_MAX;
        if (sealed === 'busy') await alarm.pause(SEAL_BUSY_MS);
        else if (sealed === 0) await alarm.wait(SEAL_WAIT_MS_MAX);
      } catch (error) {
        log.error({ err: error }, 'the event log could not be sealed; it is tried again');
        await alarm.pause(SEAL_RETRY_MS);
      }
    }
    stopRinging();
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

/** Only for gathering: without it, processes under load seal more often than they need to. */
async function subscribe(store: Pick<Store, 'ephemeral'>, note: () => void, log: Logger): Promise<Unsubscribe | null> {
  try {
    return await store.ephemeral.subscribe(CHANNELS.outbox, note);
  } catch (error) {
    log.debug({ err: error }, 'the sealer of the event log does not hear when other processes have sealed');
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
