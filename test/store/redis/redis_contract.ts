import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe } from 'vitest';
import type { EphemeralStore } from '../../../src/store/ephemeral.ts';
import type { RedisSettings } from '../../../src/store/redis/settings.ts';
import { artifactContract } from '../artifact_contract.ts';
import { ephemeralContract } from '../ephemeral_contract.ts';
import { openStores, storesOver } from './open_stores.ts';

type Stores = Awaited<ReturnType<typeof openStores>>;

export interface RunningRedis {
  readonly settings: RedisSettings;
  stop(): Promise<void>;
}

/** Redis keeps real time. A day cannot pass in a test: the longest life of what is waited for otherwise is two seconds. */
const ADVANCE_MS_MAX = 2_000;

/** Both contracts, as two processes of one installation see this Redis. */
export function redisContract(name: string, run: () => Promise<RunningRedis>): void {
  describe(name, () => {
    let running: RunningRedis;
    let one: Stores;
    let two: Stores;
    beforeAll(async () => {
      running = await run();
      one = await openStores(running.settings);
      two = await openStores(running.settings, one.epoch);
    }, 120_000);
    afterAll(async () => {
      await one?.connection.close();
      await two?.connection.close();
      await running?.stop();
    });
    const advance = (milliseconds: number) => sleep(Math.min(milliseconds, ADVANCE_MS_MAX));

    ephemeralContract(name, async () => ({ store: whole(one), other: whole(two), advance }));
    artifactContract(name, async () => ({ store: one.artifacts, advance }));
  });
}

/** A store of its own for each test, since the contract closes it. The epoch adds what Redis cannot know. */
function whole({ connection, epoch }: Stores): EphemeralStore {
  return { ...storesOver(connection, epoch).ephemeral, remembersSince: new Date() };
}
