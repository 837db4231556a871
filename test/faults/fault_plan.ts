import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './installation.ts';
import type { SeededRandom } from './seeded_random.ts';
import type { ServerNode } from './server_node.ts';
import type { Topology } from './topology.ts';

// What goes wrong. Each fault makes its damage, lasts a while, and leaves behind what is repaired by itself or by an
// operator who starts a process again.

interface Fault {
  readonly name: string;
  /** Whether it needs a Redis. */
  readonly isOfRedis?: boolean;
  inflict(place: Topology, random: SeededRandom): Promise<void>;
}

const PROMOTED_MS_MAX = 20_000;
const START_AGAIN_MS = 500;
const START_MS_MAX = 90_000;

/** Starts it again until it runs, as a supervisor does: a server may well refuse to start while its stores are gone. */
export async function startAgain(node: ServerNode): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  while (!node.isRunning) {
    await node.start().catch(async (error: unknown) => {
      if (performance.now() > deadline) throw error;
      await sleep(START_AGAIN_MS);
    });
  }
}

const someTime = (random: SeededRandom, least: number, most: number) => sleep(random.between(least, most));

export const FAULTS_OF_SERVERS: readonly Fault[] = [
  {
    name: 'kill -9 of a server',
    async inflict(place, random) {
      const node = random.pick(place.nodes);
      await node.kill();
      await someTime(random, 0, 1_500);
      await startAgain(node);
    },
  },
  {
    name: 'kill -9 of two servers at once',
    async inflict({ nodes }, random) {
      const spared = random.pick(nodes);
      const killed = nodes.filter((node) => node !== spared);
      await Promise.all(killed.map((node) => node.kill()));
      for (const node of killed) await startAgain(node);
    },
  },
  {
    name: 'SIGTERM of a server',
    async inflict(place, random) {
      const node = random.pick(place.nodes);
      await node.stop();
      await startAgain(node);
    },
  },
  {
    name: 'a server stands still',
    async inflict(place, random) {
      const node = random.pick(place.nodes);
      node.freeze();
      await someTime(random, 500, 5_000);
      node.resume();
    },
  },
];

export const FAULTS_OF_STORES: readonly Fault[] = [
  {
    name: 'connections to PostgreSQL are cut',
    async inflict(place, random) {
      for (let times = random.between(1, 5); times > 0; times -= 1) {
        random.pick(place.nodes).database.cut();
        await someTime(random, 50, 500);
      }
    },
  },
  {
    name: 'replies of PostgreSQL are swallowed',
    async inflict(place, random) {
      const { database } = random.pick(place.nodes);
      database.mute('replies');
      await someTime(random, 200, 2_500);
      database.heal();
    },
  },
  {
    name: 'PostgreSQL answers late',
    async inflict(place, random) {
      const { database } = random.pick(place.nodes);
      database.delay(random.between(50, 300));
      await someTime(random, 500, 2_500);
      database.heal();
    },
  },
  {
    name: 'kill -9 of PostgreSQL',
    async inflict({ postgres }, random) {
      await postgres.kill();
      await someTime(random, 0, 1_000);
      await postgres.start();
    },
  },
  {
    name: 'PostgreSQL is restarted',
    async inflict({ postgres }) {
      await postgres.stop();
      await postgres.start();
    },
  },
  {
    name: 'PostgreSQL stands still',
    async inflict({ postgres }, random) {
      postgres.freeze();
      await someTime(random, 500, 3_000);
      postgres.resume();
    },
  },
  {
    name: 'the primary of Redis is killed and its replica promoted',
    isOfRedis: true,
    inflict: (place) => killPrimary(place),
  },
  {
    name: 'the network of the replica is cut, then it is promoted',
    isOfRedis: true,
    async inflict(place, random) {
      await place.redis!.cutReplica();
      await someTime(random, 1_000, 2_500);
      await killPrimary(place);
    },
  },
  {
    name: 'Redis stands still',
    isOfRedis: true,
    async inflict({ redis }, random) {
      const primary = await redis!.primary();
      primary.freeze();
      await someTime(random, 300, 4_000);
      primary.resume();
    },
  },
  {
    name: 'Redis comes back with an old dump',
    isOfRedis: true,
    async inflict({ redis, root }, random) {
      const file = join(root, 'old.rdb');
      await redis!.keepDump(file);
      await someTime(random, 1_000, 3_000);
      await redis!.restore(file);
    },
  },
  {
    name: 'Redis is full',
    isOfRedis: true,
    async inflict({ redis }, random) {
      await redis!.fill();
      await someTime(random, 500, 3_000);
      await redis!.empty();
    },
  },
  {
    name: 'Redis is emptied',
    isOfRedis: true,
    async inflict({ redis }) {
      await (await redis!.primary()).ask('flushall');
    },
  },
  {
    name: 'connections to Redis are cut',
    isOfRedis: true,
    async inflict({ redis }, random) {
      for (let times = random.between(1, 5); times > 0; times -= 1) {
        (await redis!.primary()).proxy.cut();
        await someTime(random, 50, 500);
      }
    },
  },
  {
    name: 'replies of Redis are swallowed',
    isOfRedis: true,
    async inflict({ redis }, random) {
      const { proxy } = await redis!.primary();
      proxy.mute('replies');
      await someTime(random, 200, 3_000);
      proxy.heal();
    },
  },
];

/** kill -9, until the Sentinels have promoted the other; then it comes back, believing at first that it is the primary. */
async function killPrimary({ redis }: Topology): Promise<void> {
  const old = await redis!.primary();
  await old.kill();
  const isPromoted = async () => ((await redis!.primary()) === old ? undefined : true);
  await until('the replica is promoted', isPromoted, PROMOTED_MS_MAX);
  await old.start();
}

/** What was inflicted, and when: a run is told by it. */
export interface Inflicted {
  readonly name: string;
  readonly at: number;
  readonly seconds: number;
  readonly problem: string | null;
}

/** One fault after the other, with a pause between. Every kind comes before one comes again. */
export async function inflictFaults(
  place: Topology,
  random: SeededRandom,
  plan: { readonly faults: readonly Fault[]; readonly pauseMs: readonly [number, number]; readonly told: Inflicted[] },
  isOver: () => boolean,
): Promise<void> {
  const usable = plan.faults.filter((fault) => fault.isOfRedis !== true || place.redis !== null);
  let left = [...usable];
  while (!isOver()) {
    await someTime(random, ...plan.pauseMs);
    if (isOver()) return;
    const fault = random.pick(left);
    left = left.filter((one) => one !== fault);
    if (left.length === 0) left = [...usable];
    const at = performance.now();
    const problem = await fault.inflict(place, random).then(
      () => null,
      (error: Error) => error.message,
    );
    plan.told.push({ name: fault.name, at, seconds: (performance.now() - at) / 1000, problem });
  }
}
