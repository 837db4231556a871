import { randomBytes } from 'node:crypto';
import type { BareProviderReady } from './bare_provider.ts';
import { Installation, singleRedis } from './installation.ts';
import { type NodeWorld, setNodeWorld } from './node_world.ts';
import { RedisServer } from './redis_server.ts';
import { startBareProvider } from './start_bare_provider.ts';

/** A node of `countersign serve` and the baseline, on the same PostgreSQL and Redis, each with a database and keys of its own. */
export interface TokenStage {
  readonly world: NodeWorld;
  readonly bareProvider: BareProviderReady;
  /** PostgreSQL and Redis; whoever is asked uses them, so their CPU time counts for it. */
  readonly storePids: readonly number[];
}

export async function setTokenStage(closing: (() => Promise<unknown>)[]): Promise<TokenStage> {
  const redis = await RedisServer.open();
  closing.push(() => redis.kill());
  const installation = await Installation.open(singleRedis(redis.port));
  closing.push(() => installation.close());
  await installation.startNode();
  const world = await setNodeWorld(installation);
  closing.push(() => world.close());
  const config = await installation.secondDatabase(`bare_${randomBytes(4).toString('hex')}`);
  const bare = await startBareProvider(world.agent, ['--config', config]);
  closing.push(() => bare.stop());
  return { world, bareProvider: bare.ready, storePids: [installation.postgres.postmasterPid, redis.pid] };
}
