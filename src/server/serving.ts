import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import type { Store } from '../store/store.ts';
import { createAdmission } from './admission.ts';
import { watchClock } from './clock.ts';
import { watchEventLoopDelay } from './event_loop_delay.ts';
import { createFront } from './front.ts';
import { type Handler, listen } from './listen.ts';
import { createReadiness } from './readiness.ts';
import { createSlowBodies } from './slow_bodies.ts';

export interface Serving {
  readonly port: number;
  /**
   * Says that it is about to end, for as long as the load balancer needs to notice (`drain.announce_seconds`); then takes
   * no connections, ends every wait and lets what runs come to its end, for `drain.seconds_max`.
   */
  drain(): Promise<void>;
}

export interface ServingParts {
  readonly config: Config;
  readonly store: Store;
  /** Everything behind the probes. */
  readonly handler: Handler;
  /** Aborted when waits have to end. */
  readonly draining: AbortController;
  readonly areKeysCurrent?: () => boolean;
}

const MS_PER_SECOND = 1_000;

/** Listens, and is ready once PostgreSQL has told its time. */
export async function startServing(parts: ServingParts): Promise<Serving> {
  const { config, store, handler, draining, areKeysCurrent } = parts;
  const { log } = store;
  const clock = watchClock(store);
  const delay = watchEventLoopDelay();
  const readiness = createReadiness({ clock, log, ...(areKeysCurrent === undefined ? {} : { areKeysCurrent }) });
  const admission = createAdmission({ requestsMax: config.overload.requests_max, eventLoopDelayMs: delay.ms });
  const stopWatching = () => {
    clock.stop();
    delay.stop();
  };
  try {
    await clock.measure();
    const listening = await listen(
      createFront({ handler, readiness, admission, clock, slowBodies: createSlowBodies() }),
      {
        ...config.listen,
        setting: '--port or listen.port',
        connectionsMax: config.overload.connections_max,
        log,
      },
    );
    readiness.started();
    return {
      port: listening.port,
      async drain() {
        readiness.drain();
        const { announce_seconds, seconds_max } = config.drain;
        log.info({ announce_seconds, seconds_max, working: admission.working }, 'this server is about to end');
        await sleep(announce_seconds * MS_PER_SECOND);
        listening.stopAccepting();
        draining.abort();
        await listening.close(seconds_max * MS_PER_SECOND);
        stopWatching();
      },
    };
  } catch (error) {
    stopWatching();
    throw error;
  }
}
