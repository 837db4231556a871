import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../../src/cli/free_port.ts';
import type { RedisSettings } from '../../src/store/redis/settings.ts';
import { endsWithUs } from '../faults/ends_with_us.ts';
import { makeScratchDirectory } from './scratch.ts';

const START_ATTEMPTS = 3;
const WAIT_MS_MAX = 30_000;
const CLUSTER_PRIMARIES = 3;
const CLUSTER_SLOTS = 16_384;

/** One redis-server on a free port, with a directory of its own that outlives it. Stop it in `afterAll`. */
export class TestRedis {
  readonly port: number;
  readonly #args: readonly string[];
  readonly dump: string;
  #child: ChildProcess | undefined;

  private constructor(port: number, directory: string, args: readonly string[]) {
    this.port = port;
    this.dump = join(directory, 'dump.rdb');
    const fixed = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no'];
    this.#args = [...fixed, '--repl-diskless-sync-delay', '0', ...args];
  }

  /** Somebody else may take the port first: then with another one. `args` as on the command line of redis-server. */
  static async open(argsFor: (port: number) => Promise<readonly string[]> | readonly string[] = () => []) {
    const directory = await makeScratchDirectory('redis');
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      const redis = new TestRedis(port, directory, await argsFor(port));
      try {
        await redis.start();
        return redis;
      } catch (error) {
        if (attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  async start(): Promise<void> {
    const child = spawn('redis-server', this.#args, { stdio: 'ignore' });
    this.#child = child;
    endsWithUs(child);
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended at once with status ${child.exitCode}.`);
      return (await this.ask('ping').catch(() => undefined)) === 'PONG';
    });
  }

  /** One command on a connection of its own. */
  async ask(command: string, ...args: readonly (string | number)[]): Promise<unknown> {
    const client = new Redis({ port: this.port, lazyConnect: true, retryStrategy: () => null, protocol: 2 });
    client.on('error', () => {});
    try {
      await client.connect();
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** kill -9, and start again with `start`. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

/** Three primaries without replicas, in agreement about who holds which slot. */
export async function openRedisCluster(): Promise<{ readonly nodes: readonly TestRedis[]; kill(): Promise<void> }> {
  const nodes: TestRedis[] = [];
  const kill = async () => {
    for (const node of nodes) await node.kill();
  };
  try {
    for (let index = 0; index < CLUSTER_PRIMARIES; index += 1) {
      nodes.push(
        await TestRedis.open(async () => ['--cluster-enabled', 'yes', '--cluster-port', `${await freePort()}`]),
      );
    }
    for (const [index, node] of nodes.entries()) {
      const first = Math.ceil((index * CLUSTER_SLOTS) / CLUSTER_PRIMARIES);
      const last = Math.ceil(((index + 1) * CLUSTER_SLOTS) / CLUSTER_PRIMARIES) - 1;
      await node.ask('cluster', 'addslotsrange', first, last);
      await node.ask('cluster', 'set-config-epoch', index + 1);
    }
    const busPorts = await Promise.all(nodes.map(busPortOf));
    for (const [index, node] of nodes.entries()) {
      if (index > 0) await nodes[0]!.ask('cluster', 'meet', '127.0.0.1', node.port, busPorts[index]!);
    }
    for (const node of nodes) await until(() => isWhole(node));
    return { nodes, kill };
  } catch (error) {
    await kill();
    throw error;
  }
}

async function busPortOf(node: TestRedis): Promise<number> {
  const [, port] = /@(\d+)/.exec(String(await node.ask('cluster', 'nodes'))) ?? [];
  return Number(port);
}

async function isWhole(node: TestRedis): Promise<boolean> {
  const info = String(await node.ask('cluster', 'info'));
  return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${CLUSTER_PRIMARIES}`);
}

/** How to reach what runs at these ports of this machine. */
export function redisSettings(ports: readonly number[], changes: Partial<RedisSettings> = {}): RedisSettings {
  return {
    topology: 'single',
    nodes: ports.map((port) => ({ host: '127.0.0.1', port })),
    sentinelName: null,
    username: null,
    password: null,
    sentinelPassword: null,
    tls: false,
    database: 0,
    keyPrefix: 'test',
    ...changes,
  };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`It did not come true within ${WAIT_MS_MAX} ms.`);
    await sleep(20);
  }
}
