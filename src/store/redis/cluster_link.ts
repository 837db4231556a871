import { once } from 'node:events';
import { Cluster, Redis } from 'ioredis';
import type { Logger } from '../../kernel/logger.ts';
import { COMMAND_TIMEOUT_MS, RECOVERY_MS_MAX, REDIRECTIONS_MAX, SLOTS_REFRESH_INTERVAL_MS } from './limits.ts';
import { atMost, createLinkLog, driverOptions, type Link, reconnectDelay, shareRuns } from './link.ts';
import type { RedisNode, RedisSettings } from './settings.ts';

/** The primaries of a Redis Cluster. */
export function openClusterLink(settings: RedisSettings, log: Logger): Link {
  const options = driverOptions(settings);
  const linkLog = createLinkLog(log);
  const cluster = new Cluster(
    settings.nodes.map((node) => ({ ...node })),
    {
      lazyConnect: true,
      enableOfflineQueue: false,
      // With a delay the driver would send a command again whose connection was lost, after it may have run.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      maxRedirections: REDIRECTIONS_MAX,
      slotsRefreshTimeout: COMMAND_TIMEOUT_MS,
      slotsRefreshInterval: SLOTS_REFRESH_INTERVAL_MS,
      clusterRetryStrategy: reconnectDelay,
      // A certificate is for the name, not for the address behind it.
      dnsLookup: (address, callback) => callback(null, address),
      redisOptions: options,
    },
  );
  cluster.on('error', (error) => linkLog.lost(error));
  cluster.on('node error', (error) => linkLog.lost(error));
  // A node connects at its first command otherwise, and refuses all others until it did. Not at once: what the driver is
  // about to send to the new node would be among them.
  cluster.on('+node', (node: Redis) => setImmediate(() => cluster.status === 'ready' && connectPrimary(node)));
  cluster.on('ready', () => {
    linkLog.isBack();
    cluster.nodes('master').forEach(connectPrimary);
  });
  cluster.connect().catch(() => {});

  const recover = shareRuns(() =>
    atMost(RECOVERY_MS_MAX, async (signal) => {
      if (cluster.status !== 'ready') await once(cluster, 'ready', { signal });
      await refresh(cluster);
      await Promise.all(cluster.nodes('master').map((node) => whenReady(node, signal)));
      linkLog.isBack();
    }),
  );
  let turn = 0;
  return {
    call: (command, args) => cluster.call(command, [...args]),
    async inform() {
      await refresh(cluster);
      const primaries = cluster.nodes('master');
      return Promise.all(
        primaries.map(async (node) => ({
          address: `${node.options.host}:${node.options.port}`,
          info: await node.info(),
        })),
      );
    },
    recover,
    renew: () => false,
    openSubscriber() {
      const nodes = [...cluster.nodes().map((node) => node.options as RedisNode), ...settings.nodes];
      turn += 1;
      const { host, port } = nodes[turn % nodes.length]!;
      return new Redis({ ...options, host, port, retryStrategy: () => null });
    },
    problem: linkLog.problem,
    close() {
      linkLog.end();
      cluster.disconnect();
    },
  };
}

function connectPrimary(node: Redis): void {
  if (node.status === 'wait' && node.options.readOnly !== true) node.connect().catch(() => {});
}

function refresh(cluster: Cluster): Promise<void> {
  return new Promise((resolve, reject) => {
    cluster.refreshSlotsCache((error) => (error ? reject(error) : resolve()));
  });
}

async function whenReady(node: Redis, signal: AbortSignal): Promise<void> {
  connectPrimary(node);
  if (node.status !== 'ready') await once(node, 'ready', { signal });
}
