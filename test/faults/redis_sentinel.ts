import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '../../src/cli/free_port.ts';
import { endsWithUs } from './ends_with_us.ts';
import { until } from './installation.ts';
import { TcpProxy } from './tcp_proxy.ts';

/** The name the primary goes by at the Sentinels. */
export const SENTINEL_NAME = 'countersign';
const SENTINELS = 3;
const DOWN_AFTER_MS = 1_000;
const FAILOVER_TIMEOUT_MS = 5_000;
const MEMORY_MAX = '64mb';

/** One redis-server process behind a proxy of its own. The file is kept: Sentinel writes its role there. */
export class RedisProcess {
  readonly port: number;
  readonly proxy: TcpProxy;
  readonly directory: string;
  #child: ChildProcess | undefined;

  constructor(port: number, proxy: TcpProxy, directory: string) {
    this.port = port;
    this.proxy = proxy;
    this.directory = directory;
  }

  get dump(): string {
    return join(this.directory, 'dump.rdb');
  }

  async start(): Promise<void> {
    this.#child = await spawnRedis([join(this.directory, 'redis.conf')]);
    await until(`Redis ${this.port} answers`, () => this.ask('ping').catch(() => undefined));
  }

  /** One command, past the proxy. */
  ask(...command: readonly [string, ...(string | number)[]]): Promise<unknown> {
    return ask(this.port, ...command);
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }
}

/**
 * A primary, a replica and three Sentinels. Everybody, the Sentinels and the replica too, reaches each Redis by its proxy,
 * so that cutting a proxy cuts that Redis from everybody.
 */
export class RedisSentinel {
  readonly redis: readonly [RedisProcess, RedisProcess];
  readonly sentinels: readonly number[];
  readonly #children: ChildProcess[];

  private constructor(redis: readonly [RedisProcess, RedisProcess], sentinels: number[], children: ChildProcess[]) {
    this.redis = redis;
    this.sentinels = sentinels;
    this.#children = children;
  }

  static async open(directory: string): Promise<RedisSentinel> {
    const first = await prepareRedis(join(directory, 'redis0'), null);
    const second = await prepareRedis(join(directory, 'redis1'), first.proxy.port);
    await first.start();
    await second.start();
    await until('the replica is in step', async () => {
      return String(await second.ask('info', 'replication')).includes('master_link_status:up') ? true : undefined;
    });
    const ports: number[] = [];
    const children: ChildProcess[] = [];
    for (let index = 0; index < SENTINELS; index += 1) {
      const port = await freePort();
      ports.push(port);
      children.push(await spawnSentinel(join(directory, `sentinel${index}`), port, first.proxy.port));
    }
    const all = new RedisSentinel([first, second], ports, children);
    await until('the Sentinels know each other and the replica', () => all.#isComplete());
    return all;
  }

  /** The one that the Sentinels name, which is not always the only one that believes so itself. */
  async primary(): Promise<RedisProcess> {
    const port = await until('a Sentinel names the primary', async () => {
      for (const sentinel of this.sentinels) {
        const found = await askSentinel(sentinel, 'get-master-addr-by-name', SENTINEL_NAME).catch(() => undefined);
        if (Array.isArray(found)) return Number(found[1]);
      }
      return undefined;
    });
    return this.redis.find((one) => one.proxy.port === port) ?? this.redis[0];
  }

  async replica(): Promise<RedisProcess> {
    const primary = await this.primary();
    return this.redis.find((one) => one !== primary)!;
  }

  /** Keeps what the primary holds now, to be brought back later by `restore`. */
  async keepDump(file: string): Promise<void> {
    const primary = await this.primary();
    await primary.ask('save');
    await copyFile(primary.dump, file);
  }

  /** Both die and come back with an old dump. */
  async restore(file: string): Promise<void> {
    for (const one of this.redis) {
      await one.kill();
      await copyFile(file, one.dump);
    }
    for (const one of this.redis) await one.start();
  }

  /** Both are full from now on, until `empty`: every command that needs memory is refused. */
  async fill(): Promise<void> {
    for (const one of this.redis) await one.ask('config', 'set', 'maxmemory', '1').catch(() => {});
  }

  async empty(): Promise<void> {
    for (const one of this.redis) await one.ask('config', 'set', 'maxmemory', MEMORY_MAX).catch(() => {});
  }

  /**
   * The network between the replica and its primary is gone. The replica cannot tell a cut network from an address that
   * leads nowhere; clients still reach both. The Sentinels mend it, or promote it as it is when the primary dies.
   */
  async cutReplica(): Promise<void> {
    const replica = await this.replica();
    await replica.ask('replicaof', '127.0.0.1', await freePort());
  }

  /** Everything running and honest again. */
  async heal(): Promise<void> {
    for (const one of this.redis) {
      one.resume();
      one.proxy.heal();
      if (!one.isRunning) await one.start();
    }
    await this.empty();
  }

  async close(): Promise<void> {
    for (const one of this.redis) {
      one.resume();
      await one.kill();
      await one.proxy.close();
    }
    for (const child of this.#children) child.kill('SIGKILL');
  }

  async #isComplete(): Promise<true | undefined> {
    for (const sentinel of this.sentinels) {
      const found = await askSentinel(sentinel, 'master', SENTINEL_NAME).catch(() => undefined);
      const state = pairs(found);
      if (state.get('num-slaves') !== '1' || state.get('num-other-sentinels') !== String(SENTINELS - 1))
        return undefined;
    }
    return true;
  }
}

/** What Redis tells as names and values in turn. */
function pairs(found: unknown): Map<string, string> {
  const list = Array.isArray(found) ? found.map(String) : [];
  return new Map(list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1] ?? '']] : [])));
}

function askSentinel(port: number, ...args: readonly string[]): Promise<unknown> {
  return ask(port, 'sentinel', ...args);
}

/** One command on a connection of its own. */
async function ask(port: number, command: string, ...args: readonly (string | number)[]): Promise<unknown> {
  const client = new Redis({
    ...{ host: '127.0.0.1', port, lazyConnect: true, enableOfflineQueue: false, protocol: 2 },
    ...{ maxRetriesPerRequest: 0, commandTimeout: 3_000, connectTimeout: 3_000, retryStrategy: () => null },
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return await client.call(command, ...args);
  } finally {
    client.disconnect();
  }
}

async function prepareRedis(directory: string, primaryPort: number | null): Promise<RedisProcess> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const port = await freePort();
  const proxy = await TcpProxy.open({ port });
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    'save ""',
    'appendonly no',
    'replica-announce-ip 127.0.0.1',
    `replica-announce-port ${proxy.port}`,
    'repl-diskless-sync-delay 0',
    'repl-timeout 5',
    `maxmemory ${MEMORY_MAX}`,
    'maxmemory-policy noeviction',
    ...(primaryPort === null ? [] : [`replicaof 127.0.0.1 ${primaryPort}`]),
  ];
  await writeFile(join(directory, 'redis.conf'), `${settings.join('\n')}\n`);
  return new RedisProcess(port, proxy, directory);
}

async function spawnSentinel(directory: string, port: number, primaryPort: number): Promise<ChildProcess> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, 'sentinel.conf');
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor ${SENTINEL_NAME} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${SENTINEL_NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${SENTINEL_NAME} ${FAILOVER_TIMEOUT_MS}`,
    `sentinel parallel-syncs ${SENTINEL_NAME} 1`,
  ];
  await writeFile(file, `${settings.join('\n')}\n`);
  return spawnRedis([file, '--sentinel']);
}

async function spawnRedis(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  endsWithUs(child);
  const missing =
    'redis-server cannot be started. Run `node scripts/fetch_test_tools.ts`, which installs it or says how.';
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve).once('error', (cause) => reject(new Error(missing, { cause })));
  });
  return child;
}
