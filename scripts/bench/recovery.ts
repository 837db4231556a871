import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisSentinel, SENTINEL_NAME } from '../../test/faults/redis_sentinel.ts';
import { median } from './figures.ts';
import { Installation, singleRedis } from './installation.ts';
import { AFTER_FAULT_MS, BEFORE_FAULT_MS, FAULT_ROUNDS, KILLS } from './limits.ts';
import { type NodeWorld, setNodeWorld } from './node_world.ts';
import { RedisServer } from './redis_server.ts';
import { SteadyClients } from './steady_client.ts';
import { untilPlace } from './until_place.ts';

/** What one client noticed of one kind of fault: the median and the worst over the rounds. */
export interface GapFinding {
  readonly fault: string;
  readonly client: string;
  readonly gapMs: number;
  readonly worstMs: number;
  /** Of all requests from before the fault until after it. */
  readonly failedShare: number;
  /** What most of them were told. */
  readonly failedWith: string | null;
  /** From the end of the fault, where it has one; null where nothing came back. */
  readonly afterMs: number | null;
}

export interface RecoveryFinding {
  readonly killToReadyMs: number;
  readonly killToReadyWorstMs: number;
  readonly gaps: readonly GapFinding[];
}

type Closing = (() => Promise<unknown>)[];

export async function measureRecovery(closing: Closing): Promise<RecoveryFinding> {
  const redis = await RedisServer.open();
  closing.push(() => redis.kill());
  const world = await openWorld(singleRedis(redis.port), closing);
  const ready: number[] = [];
  for (let count = 0; count < KILLS; count += 1) ready.push(await killToReady(world));
  const gaps = await notice(world, 'PostgreSQL restarted', {
    inflict: async () => {
      await world.installation.restartPostgres();
      return performance.now();
    },
    mend: async () => {},
  });
  gaps.push(
    ...(await notice(world, 'Redis stopped (kill -9)', {
      inflict: () => redis.kill().then(() => null),
      mend: async () => {
        await redis.start();
        await untilPlace(world.installation, 'redis');
      },
    })),
    ...(await primaryKilled(closing)),
  );
  return { killToReadyMs: median(ready), killToReadyWorstMs: Math.max(...ready), gaps };
}

async function primaryKilled(closing: Closing): Promise<GapFinding[]> {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-bench-sentinel-'));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  const redis = await RedisSentinel.open(directory);
  closing.push(() => redis.close());
  const nodes = redis.sentinels.map((port) => `"127.0.0.1:${port}"`).join(', ');
  const line = `redis: { topology: sentinel, sentinel_name: ${SENTINEL_NAME}, nodes: [${nodes}] }`;
  const world = await openWorld(line, closing);
  return notice(world, 'Redis primary killed, Sentinel promotes its replica', {
    inflict: async () => {
      await (await redis.primary()).kill();
      return null;
    },
    mend: async () => {
      await redis.heal();
      await untilPlace(world.installation, 'redis');
    },
  });
}

async function openWorld(redisLine: string, closing: Closing): Promise<NodeWorld> {
  const installation = await Installation.open(redisLine);
  closing.push(() => installation.close());
  await installation.startNode();
  await installation.startNode();
  const world = await setNodeWorld(installation);
  closing.push(() => world.close());
  return world;
}

/** From kill -9 to the first 200 of `/readyz` of the process started in its place at once. */
async function killToReady({ installation }: NodeWorld): Promise<number> {
  const killedAt = performance.now();
  await installation.killNode();
  await installation.startNode();
  return performance.now() - killedAt;
}

interface Fault {
  /** Resolves with the time at which it was over, or null if it stays. */
  inflict(): Promise<number | null>;
  /** Everything as it was, for the next round. */
  mend(): Promise<void>;
}

async function notice(world: NodeWorld, fault: string, { inflict, mend }: Fault): Promise<GapFinding[]> {
  const seen = new Map<string, { gaps: number[]; after: number[]; requests: number; reasons: Map<string, number> }>();
  for (let round = 0; round < FAULT_ROUNDS; round += 1) {
    const clients = await SteadyClients.start(world);
    await sleep(BEFORE_FAULT_MS);
    const overAt = await inflict();
    await sleep(AFTER_FAULT_MS);
    for (const noticed of await clients.stop()) {
      const known = seen.get(noticed.what) ?? { gaps: [], after: [], requests: 0, reasons: new Map<string, number>() };
      known.gaps.push(noticed.gapMs);
      if (overAt !== null) known.after.push(noticed.firstSuccessMs(overAt));
      known.requests += noticed.requests;
      for (const [why, count] of noticed.reasons) known.reasons.set(why, (known.reasons.get(why) ?? 0) + count);
      seen.set(noticed.what, known);
    }
    await mend();
  }
  return [...seen].map(([client, { gaps, after, requests, reasons }]) => {
    const failures = [...reasons].sort(([, one], [, other]) => other - one);
    const failedShare = failures.reduce((sum, [, count]) => sum + count, 0) / requests;
    return {
      ...{ fault, client, gapMs: median(gaps), worstMs: Math.max(...gaps), failedShare },
      failedWith: failures[0]?.[0] ?? null,
      afterMs: after.length === 0 ? null : median(after),
    };
  });
}
