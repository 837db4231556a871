import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { becomeOperator } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { type LoadBalancer, startHaproxy } from './haproxy.ts';
import { until } from './installation.ts';
import { OwnPostgres } from './own_postgres.ts';
import { RedisSentinel, SENTINEL_NAME } from './redis_sentinel.ts';
import { ServerNode } from './server_node.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const ROOT_KEY_BYTES = 32;
const OUTPUT_BYTES_MAX = 512 * 1024 * 1024;
const READY_MS_MAX = 90_000;
const run = promisify(execFile);

export interface TopologyOptions {
  /** How many servers; three if not said. */
  readonly servers?: number;
  /** False: no Redis at all, PostgreSQL carries the memory too. */
  readonly hasRedis?: boolean;
  /** More lines of configuration, the same for every server. */
  readonly config?: readonly string[];
}

/**
 * What runs in production, in small: `countersign serve` several times, a load balancer without stickiness before them,
 * a PostgreSQL, a Redis primary with a replica and Sentinels, and between any two of them a proxy that can misbehave.
 */
export class Topology {
  readonly root: string;
  readonly issuer: string;
  readonly postgres: OwnPostgres;
  readonly redis: RedisSentinel | null;
  readonly nodes: readonly ServerNode[];
  readonly #configs: readonly string[];
  readonly #port: number;
  balancer!: LoadBalancer;
  operator!: ScriptedPerson;

  private constructor(at: {
    root: string;
    port: number;
    postgres: OwnPostgres;
    redis: RedisSentinel | null;
    nodes: readonly ServerNode[];
    configs: readonly string[];
  }) {
    this.root = at.root;
    this.issuer = `http://localhost:${at.port}`;
    this.#port = at.port;
    this.postgres = at.postgres;
    this.redis = at.redis;
    this.nodes = at.nodes;
    this.#configs = at.configs;
  }

  /** Everything up and ready, and an operator who may decide. */
  static async open(name: string, options: TopologyOptions = {}): Promise<Topology> {
    const root = await makeScratchDirectory(name);
    const postgres = await OwnPostgres.open(join(root, 'data'));
    const redis = options.hasRedis === false ? null : await RedisSentinel.open(join(root, 'redis'));
    const port = await freePort();
    const configs: string[] = [];
    const nodes: ServerNode[] = [];
    await writeFile(join(root, 'root.key'), randomBytes(ROOT_KEY_BYTES).toString('base64'), { mode: 0o600 });
    for (let index = 0; index < (options.servers ?? 3); index += 1) {
      const { proxy, url } = await postgres.openProxy();
      const config = join(root, `server${index}.yaml`);
      await writeFile(config, configuration({ root, port, url, redis, more: options.config ?? [] }));
      configs.push(config);
      const log = join(root, `server${index}.log`);
      nodes.push(new ServerNode({ index, port: await freePort(), log, config, database: proxy }));
    }
    const topology = new Topology({ root, port, postgres, redis, nodes, configs });
    try {
      await topology.#start();
      return topology;
    } catch (error) {
      await topology.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    await this.run('migrate', '--config', this.#configs[0]!);
    const ports = this.nodes.map((node) => node.port);
    this.balancer = await startHaproxy(this.root, this.#port, ports);
    // The first alone: it makes the keys that the others find. Two cores start two processes at a time no faster.
    for (const node of this.nodes) await node.start();
    await this.untilReady();
    this.operator = await becomeOperator(this.nodes[0]!.ready, 'Operator');
  }

  /** One of our commands, to its end. Resolves with what it printed. */
  async run(...args: readonly string[]): Promise<string> {
    return (await run(process.execPath, [COMMAND, ...args], { maxBuffer: OUTPUT_BYTES_MAX })).stdout;
  }

  /** Every server that runs is ready, and the load balancer knows. */
  async untilReady(): Promise<void> {
    for (const node of this.nodes.filter((one) => one.isRunning)) {
      await until(
        `server ${node.index} is ready`,
        async () => ((await node.isReady()) ? true : undefined),
        READY_MS_MAX,
      );
    }
    const through = () => fetch(`${this.issuer}/readyz`, { signal: AbortSignal.timeout(5_000) });
    await until(
      'the load balancer finds a server',
      async () => ((await through().catch(() => undefined))?.status === 200 ? true : undefined),
      READY_MS_MAX,
    );
  }

  /** Every fault is over: everything runs, answers and is ready. */
  async heal(): Promise<void> {
    this.postgres.resume();
    for (const proxy of this.postgres.proxies) proxy.heal();
    await this.redis?.heal();
    for (const node of this.nodes) {
      if (node.isFrozen) node.resume();
      if (!node.isRunning) await node.start();
    }
    await this.untilReady();
  }

  /** Exports the sealed log and verifies the file offline, both by the commands an auditor uses. Resolves with the export. */
  async audit(): Promise<string> {
    await until('every event is sealed', async () => {
      const [row] = await this.postgres.query<{ open: number }>(
        'select count(*)::int as open from events where position is null',
      );
      return row?.open === 0 ? true : undefined;
    });
    const exported = await this.run('audit', 'export', '--config', this.#configs[0]!);
    const file = join(this.root, 'audit.jsonl');
    await writeFile(file, exported);
    await this.run('audit', 'verify', file, '--key', this.nodes[0]!.ready.verifier_key);
    return exported;
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await this.balancer?.stop();
    await this.redis?.close();
    await this.postgres.close();
  }
}

// Many approvals in a short time are what these tests make; people and agents never do.
function configuration(at: {
  root: string;
  port: number;
  url: string;
  redis: RedisSentinel | null;
  more: readonly string[];
}): string {
  const sentinels = at.redis?.sentinels.map((port) => `127.0.0.1:${port}`).join(', ');
  return [
    `issuer: http://localhost:${at.port}`,
    'mode: single_operator',
    `root_key_file: ${join(at.root, 'root.key')}`,
    `database: { url: "${at.url}", pool_max: 10 }`,
    ...(at.redis === null
      ? []
      : [
          `redis: { topology: sentinel, sentinel_name: ${SENTINEL_NAME}, nodes: ["${sentinels?.replaceAll(', ', '", "')}"] }`,
        ]),
    'trusted_proxies: ["127.0.0.1"]',
    'fetch_allowed_hosts: ["localhost:*", "127.0.0.1:*"]',
    'step_ups: { per_agent_per_minute: 100000, open_per_agent: 10000, replay_window_seconds: 900, denial_cooldown_seconds: 0 }',
    'clients:',
    '  - client_id: editor',
    '    client_name: Editor',
    '    redirect_uris: ["http://127.0.0.1:5555/callback"]',
    ...at.more,
    '',
  ].join('\n');
}
