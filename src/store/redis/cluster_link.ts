import { once } from 'node:events';
import { Cluster, Redis } from 'ioredis';
import type { Logger } from '../../kernel/logger.ts';
import { COMMAND_TIMEOUT_MS, RECOVERY_MS_MAX, REDIRECTIONS_MAX, SLOTS_REFRESH_INTERVAL_MS } from './limits.ts';
import { atMost, createLinkLog, driverOptions, type Link, reconnectDelay } from './link.ts';
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
  // A node connects at its first command otherwise, and refuses all others until it did.
  cluster.on('+node', (node: Redis) => connectPrimary(node));
  cluster.on('ready', () => linkLog.isBack());
  cluster.connect().catch(() => {});

  let recovery: Promise<void> | undefined;
  const recover = async (): Promise<void> => {
    if (cluster.status !== 'ready') await atMost(RECOVERY_MS_MAX, once(cluster, 'ready'));
    await atMost(
      RECOVERY_MS_MAX,
      refresh(cluster).then(() => whenConnected(cluster)),
    );
    if (cluster.nodes('master').every((node) => node.status === 'ready')) linkLog.isBack();
  };
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
    // One for all operations that failed together.
    recover() {
      recovery ??= recover().finally(() => {
        recovery = undefined;
      });
      return recovery;
    },
    renew: () => false,
    openSubscriber() {
      const nodes = [...cluster.nodes().map((node) => node.options as RedisNode), ...settings.nodes];
      turn += 1;
      const { host, port } = nodes[turn % nodes.length]!;
      return new Redis({ ...options, host, port, retryStrategy: () => null });
    },
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

async function whenConnected(cluster: Cluster): Promise<void> {
  await Promise.all(
    cluster.nodes('master').map(async (node) => {
      connectPrimary(node);
      if (node.status !== 'ready') await once(node, 'ready');
    }),
  );
}
