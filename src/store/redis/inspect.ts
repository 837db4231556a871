import { RedisOutage, RedisPolicyError } from './errors.ts';
import { REDIS_MAJOR_VERSION_MIN } from './limits.ts';
import type { RedisSettings } from './settings.ts';

/**
 * What names the history of a primary's data. Redis makes a new replication id when a process starts as a primary, when a
 * replica is promoted, and when a former primary is promoted again after it took over another's data: the last keeps its
 * run_id, and may have lost writes all the same.
 */
const IDENTITY_FIELD = 'master_replid';

/** Reads the answer of INFO. Refuses a primary that may forget what it acknowledged, or is too old for our scripts. */
export function inspectPrimary(topology: RedisSettings['topology'], address: string, info: string): string {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const version = field('redis_version');
  if (!(Number.parseInt(version ?? '', 10) >= REDIS_MAJOR_VERSION_MIN)) {
    throw new RedisPolicyError(
      `Redis at ${address} is version ${version ?? 'unknown'}; Countersign needs ${REDIS_MAJOR_VERSION_MIN}.0 or later. ` +
        'Upgrade it.',
    );
  }
  const policy = field('maxmemory_policy');
  if (policy !== 'noeviction') {
    throw new RedisPolicyError(
      `Redis at ${address} has maxmemory-policy "${policy ?? 'unknown'}": when it is full it would silently forget marks that ` +
        'forbid a replay. Set "maxmemory-policy noeviction" in its configuration file, and now: ' +
        'redis-cli CONFIG SET maxmemory-policy noeviction. If others need eviction, give Countersign a Redis of its own.',
    );
  }
  if (topology !== 'cluster' && field('redis_mode') === 'cluster') {
    throw new RedisPolicyError(
      `Redis at ${address} is a node of a Cluster, and redis.topology is "${topology}". Write "cluster".`,
    );
  }
  const identity = field(IDENTITY_FIELD);
  if (field('role') !== 'master' || identity === undefined) {
    throw new RedisOutage('refused', `Redis at ${address} is not a primary (role ${field('role') ?? 'unknown'}).`);
  }
  return identity;
}
