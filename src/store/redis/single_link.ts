import { once } from 'node:events';
import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from '../../kernel/logger.ts';
import { COMMAND_TIMEOUT_MS, PATIENCE_MS, RECOVERY_MS_MAX, RENEWAL_INTERVAL_MS } from './limits.ts';
import { atMost, createLinkLog, driverOptions, type Link, reconnectDelay, shareRuns } from './link.ts';
import type { RedisSettings } from './settings.ts';

/** The driver's type of `replyMapping` does not fit its own constructor. */
type Options = Omit<RedisOptions, 'replyMapping'>;

/** One primary: at a fixed address, or the one the Sentinels name. */
export function openSingleLink(settings: RedisSettings, log: Logger): Link {
  const options: Options = {
    ...driverOptions(settings),
    ...whereabouts(settings),
    retryStrategy: reconnectDelay,
  };
  const redis = new Redis(options);
  const linkLog = createLinkLog(log);
  let awaySinceMs = performance.now();
  let renewedAtMs = Number.NEGATIVE_INFINITY;
  redis.on('error', (error) => linkLog.lost(error));
  redis.on('close', () => {
    linkLog.lost();
    awaySinceMs = performance.now();
  });
  redis.on('ready', () => linkLog.isBack());
  redis.connect().catch(() => {});
  return {
    call: (command, args) => redis.call(command, [...args]),
    inform: async () => [{ address: addressOf(redis, settings), info: await redis.info() }],
    recover: shareRuns(async () => {
      const isGone = performance.now() - awaySinceMs > PATIENCE_MS;
      if (redis.status === 'ready' || isGone) return;
      await atMost(RECOVERY_MS_MAX, (signal) => once(redis, 'ready', { signal }));
    }),
    renew() {
      const now = performance.now();
      if (settings.topology !== 'sentinel' || now - renewedAtMs < RENEWAL_INTERVAL_MS) return false;
      renewedAtMs = now;
      redis.disconnect(true);
      return true;
    },
    openSubscriber: () => new Redis({ ...options, retryStrategy: () => null, sentinelRetryStrategy: () => null }),
    problem: linkLog.problem,
    close() {
      linkLog.end();
      redis.disconnect();
    },
  };
}

function whereabouts(settings: RedisSettings): Options {
  const { nodes, sentinelName, sentinelPassword, tls, database } = settings;
  if (settings.topology === 'single') return { ...nodes[0]!, db: database };
  return {
    sentinels: nodes.map((node) => ({ ...node })),
    name: sentinelName!,
    db: database,
    sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
    sentinelRetryStrategy: reconnectDelay,
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
    ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
  };
}

function addressOf(redis: Redis, settings: RedisSettings): string {
  const { remoteAddress, remotePort } = redis.stream;
  const { host, port } = settings.nodes[0]!;
  return settings.topology === 'single' ? `${host}:${port}` : `${remoteAddress}:${remotePort}`;
}
