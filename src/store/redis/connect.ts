import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../kernel/logger.ts';
import { openClusterLink } from './cluster_link.ts';
import { createConnection, type RedisConnection } from './connection.ts';
import { RedisOutage, RedisPolicyError } from './errors.ts';
import { createGate } from './gate.ts';
import { inspectPrimary } from './inspect.ts';
import { START_MS_MAX, START_RETRY_MS } from './limits.ts';
import type { Link } from './link.ts';
import { outageOf, unexpected } from './outage.ts';
import type { RedisSettings } from './settings.ts';
import { openSingleLink } from './single_link.ts';

const CREDENTIALS_REFUSED = /\b(WRONGPASS|NOAUTH|NOPERM)\b/;

/**
 * Connects to a Redis, to the primary the Sentinels name, or to a Cluster. Throws `RedisPolicyError` if one of its
 * primaries may evict, is older than 7.0 or refuses our credentials, and `RedisOutage` if Redis does not answer in time: connect again later.
 */
export async function connectRedis(settings: RedisSettings, log: Logger): Promise<RedisConnection> {
  const link = settings.topology === 'cluster' ? openClusterLink(settings, log) : openSingleLink(settings, log);
  try {
    await inspect(settings, link);
  } catch (error) {
    link.close();
    throw error;
  }
  return createConnection(settings, link, log);
}

async function inspect(settings: RedisSettings, link: Link): Promise<void> {
  const gate = createGate();
  const deadlineMs = performance.now() + START_MS_MAX;
  for (;;) {
    try {
      const primaries = await gate.pass(link.inform);
      for (const { address, info } of primaries) inspectPrimary(settings.topology, address, info);
      return;
    } catch (error) {
      if (error instanceof RedisPolicyError) throw error;
      const outage = outageOf(error);
      if (outage === undefined) throw unexpected(error);
      // It does not mend itself, and a server that cannot sign in would move everybody's memory away from Redis.
      if (CREDENTIALS_REFUSED.test(`${outage.message} ${link.problem() ?? ''}`)) {
        throw new RedisPolicyError(adviceOf(outage, link, settings));
      }
      if (performance.now() > deadlineMs) throw new RedisOutage(outage.reason, adviceOf(outage, link, settings));
    }
    await sleep(START_RETRY_MS);
  }
}

function adviceOf(outage: RedisOutage, link: Link, { topology, nodes }: RedisSettings): string {
  const list = nodes.map(({ host, port }) => `${host}:${port}`).join(', ');
  return (
    `${outage.message} ${link.problem() ?? ''} Check that Redis runs, and redis.topology (${topology}), ` +
    `redis.nodes (${list}), redis.tls and the passwords.`
  );
}
