import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { becomeOperator, type ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/postgres/embedded.ts';
import { endsWithUs } from '../../test/faults/ends_with_us.ts';
import { READY_MS_MAX, READY_POLL_MS } from './limits.ts';
import { type Spreader, startSpreader } from './spread.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
/** Four nodes with a pool each, and who measures. */
const POSTGRES_SETTINGS = { max_connections: '120' };
const run = promisify(execFile);

export interface BenchNode {
  readonly port: number;
  readonly pid: number;
  readonly part: Part<ServerReady>;
}

/** What production has: a PostgreSQL with its usual durability, stores for what may be lost, and `countersign serve` as often as asked. */
export class Installation {
  readonly root: string;
  readonly issuer: string;
  readonly config: string;
  readonly spreader: Spreader;
  readonly nodes: BenchNode[] = [];
  postgres: EmbeddedPostgres;

  readonly #redisLine: string;

  private constructor(
    at: { root: string; issuer: string; redisLine: string },
    postgres: EmbeddedPostgres,
    spreader: Spreader,
  ) {
    const { root, issuer } = at;
    this.root = root;
    this.#redisLine = at.redisLine;
    this.issuer = issuer;
    this.config = join(root, 'countersign.yaml');
    this.postgres = postgres;
    this.spreader = spreader;
  }

  /** `redisLine` is the line of configuration that names a Redis; none if empty. */
  static async open(redisLine: string): Promise<Installation> {
    const root = await mkdtemp(join(tmpdir(), 'countersign-bench-nodes-'));
    const postgres = await startPostgres(root);
    const port = await freePort();
    const at = { root, issuer: `http://localhost:${port}`, redisLine };
    const all = new Installation(at, postgres, await startSpreader(port));
    await writeFile(join(root, 'root.key'), randomBytes(32).toString('base64'), { mode: 0o600 });
    await writeFile(all.config, all.#configuration(redisLine));
    await run(process.execPath, [COMMAND, 'migrate', '--config', all.config]);
    return all;
  }

  get host(): string {
    return new URL(this.issuer).host;
  }

  /** One more node; the operator of the first one is who its set-up link makes. */
  async startNode(): Promise<BenchNode> {
    const port = await freePort();
    const part = await startPart<ServerReady>(['serve', '--config', this.config, '--port', String(port)]);
    endsWithUs(part.process);
    const node = { port, pid: part.ready.pid, part };
    this.nodes.push(node);
    this.spreader.useOnly(this.nodes.map((one) => one.port));
    await untilReady(port);
    return node;
  }

  /** kill -9 of the newest node; it is gone when this resolves. */
  async killNode(): Promise<void> {
    const node = this.nodes.pop();
    if (node === undefined) throw new Error('No node runs.');
    const exited = once(node.part.process, 'exit');
    node.part.process.kill('SIGKILL');
    await exited;
    this.spreader.useOnly(this.nodes.map((one) => one.port));
  }

  becomeOperator(): Promise<ScriptedPerson> {
    const [first] = this.nodes;
    if (first === undefined) throw new Error('No node runs.');
    return becomeOperator(first.part.ready, 'Operator');
  }

  /** Fast shutdown and start: every connection is lost on the way. */
  async restartPostgres(): Promise<void> {
    await this.postgres.stop();
    this.postgres = await startPostgres(this.root);
  }

  /** As the role of the application. */
  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const { socketDirectory, ...rest } = this.postgres.connection;
    const client = new pg.Client({ ...rest, host: socketDirectory });
    await client.connect();
    return client.query<Row>(text, [...values]).then(
      ({ rows }) => client.end().then(() => rows),
      (error) => client.end().then(() => Promise.reject(error)),
    );
  }

  get databaseUrl(): string {
    const { socketDirectory, port, user, password, database } = this.postgres.connection;
    return `postgres://${user}:${password}@/${database}?host=${encodeURIComponent(socketDirectory)}&port=${port}`;
  }

  /** A database beside ours with the same schema and Redis, for a baseline. Gives back the path of its configuration. */
  async secondDatabase(name: string): Promise<string> {
    const { socketDirectory, ...rest } = this.postgres.administration;
    const client = new pg.Client({ ...rest, host: socketDirectory });
    await client.connect();
    await client.query(`create database ${name} owner ${this.postgres.connection.user}`).finally(() => client.end());
    const file = join(this.root, `${name}.yaml`);
    const url = this.databaseUrl;
    const text = this.#configuration(this.#redisLine.replace('{ ', `{ key_prefix: ${name}, `));
    await writeFile(file, text.replace(url, url.replace(/\/[^/?]+\?/, `/${name}?`)));
    await run(process.execPath, [COMMAND, 'migrate', '--config', file]);
    return file;
  }

  /** Ends everything. */
  async close(): Promise<void> {
    for (const { part } of this.nodes.splice(0)) await part.stop();
    await this.spreader.close();
    await this.postgres.stop();
    await rm(this.root, { recursive: true, force: true });
  }

  #configuration(redisLine: string): string {
    return [
      `issuer: ${this.issuer}`,
      'mode: single_operator',
      `root_key_file: ${join(this.root, 'root.key')}`,
      `database: { url: "${this.databaseUrl}", pool_max: 10 }`,
      redisLine,
      'fetch_allowed_hosts: ["localhost:*", "127.0.0.1:*"]',
      // Questions are the load here; the quotas that keep an agent from flooding a person are a setting.
      'step_ups: { per_agent_per_minute: 1000000, open_per_agent: 1000000, replay_window_seconds: 0 }',
      'log_level: error',
      '',
    ].join('\n');
  }
}

export const singleRedis = (port: number): string => `redis: { topology: single, nodes: ["127.0.0.1:${port}"] }`;

function startPostgres(root: string): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDirectory: join(root, 'data'), log: silentLogger, settings: POSTGRES_SETTINGS });
}

export async function untilReady(port: number): Promise<number> {
  const endsAt = performance.now() + READY_MS_MAX;
  while (performance.now() < endsAt) {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    await response?.body?.cancel();
    if (response?.status === 200) return performance.now();
    await sleep(READY_POLL_MS);
  }
  throw new Error(`The server on port ${port} was not ready in time.`);
}
