import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { decideByScript } from '../../examples/demo/approver.ts';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import {
  acceptToolServer,
  becomeOperator,
  type GatewayReady,
  registerAgent,
  type ServerReady,
} from '../../examples/demo/set_up.ts';
import type { ServiceAgent, Waiting } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';
import { type Answer, call, killHard, type Tool, until } from './installation.ts';
import { TcpProxy } from './tcp_proxy.ts';

const LEDGER_SERVER = fileURLToPath(new URL('../fixtures/ledger_server.ts', import.meta.url));

const NOTICE_MS = 100;
const CALLS_MAX = 3;
const PLACE_MS_MAX = 60_000;

/** The line of configuration that names one Redis. */
export const singleRedis = (port: number) => `redis: { topology: single, nodes: ["127.0.0.1:${port}"] }`;

/**
 * Two `countersign serve` on one database and one Redis, a proxy that leads the issuer's address to one of them, and a
 * gateway before a tool that leaves marks. All of them processes of their own.
 */
export class SharedServers {
  readonly root: string;
  readonly database: TestDatabase;
  readonly config: string;
  readonly #balancer: TcpProxy;
  readonly #ports: readonly number[];
  readonly servers: Part<ServerReady>[] = [];
  operator!: ScriptedPerson;
  gateway!: Part<GatewayReady>;
  agent!: ServiceAgent;
  taskId = '';
  client!: Client;

  private constructor(at: {
    root: string;
    database: TestDatabase;
    config: string;
    balancer: TcpProxy;
    ports: readonly number[];
  }) {
    this.root = at.root;
    this.database = at.database;
    this.config = at.config;
    this.#balancer = at.balancer;
    this.#ports = at.ports;
  }

  static async open(name: string, redis: readonly string[]): Promise<SharedServers> {
    const [root, database] = await Promise.all([makeScratchDirectory(name), createTestDatabase()]);
    const ports = [await freePort(), await freePort()];
    const balancer = await TcpProxy.open({ port: ports[0]! });
    const more = [
      ...redis,
      'step_ups: { per_agent_per_minute: 10000, open_per_agent: 100, replay_window_seconds: 900 }',
      'clients:',
      '  - { client_id: editor, client_name: Editor, redirect_uris: ["http://127.0.0.1:5555/callback"] }',
    ];
    const config = await writeServeConfig(root, { issuerPort: balancer.port, connection: database.connection, more });
    const all = new SharedServers({ root, database, config, balancer, ports });
    try {
      await all.start();
      all.operator = await becomeOperator(all.servers[0]!.ready, 'Operator');
      await all.#openLedger();
      return all;
    } catch (error) {
      await all.close();
      throw error;
    }
  }

  get issuer(): string {
    return `http://localhost:${this.#balancer.port}`;
  }

  get resource(): string {
    return this.gateway.ready.resource;
  }

  /** Both servers, one after the other: the first makes the keys that the second finds. */
  async start(): Promise<void> {
    this.servers.length = 0;
    for (const [index, port] of this.#ports.entries()) {
      const onError = (text: string) => appendFileSync(join(this.root, `server${index}.log`), text);
      const args = ['serve', '--config', this.config, '--port', String(port)];
      this.servers.push(await startPart<ServerReady>(args, { onError }));
    }
  }

  /** kill -9 of both. */
  async kill(): Promise<void> {
    await Promise.all(this.servers.map(killHard));
  }

  /** Everybody talks to this server from now on; those who kept a connection to the other have noticed by then. */
  async at(index: number): Promise<void> {
    this.#balancer.forwardTo({ port: this.#ports[index]! });
    this.#balancer.cut();
    await sleep(NOTICE_MS);
  }

  /** Where the servers keep what may be lost. */
  async place(): Promise<string> {
    const row = await this.database.db.selectFrom('ephemeral_memory').select('place').executeTakeFirstOrThrow();
    return row.place;
  }

  /** A machine with much else to do makes servers give up Redis for a while. */
  async untilAt(place: 'redis' | 'postgres'): Promise<void> {
    await until(
      `the memory is in ${place}`,
      async () => ((await this.place()) === place ? true : undefined),
      PLACE_MS_MAX,
    );
  }

  async pending(line: string): Promise<Waiting> {
    const { verdict, text } = await this.call(line);
    if (verdict?.kind !== 'waiting') throw new Error(`The call does not wait for approval: ${text}`);
    return verdict;
  }

  async decide(waiting: Waiting, decision: 'approve' | 'deny'): Promise<void> {
    await decideByScript(this.operator, waiting, decision);
  }

  /** As agents do, again when the guard could not ask: a fault may cost that, and a machine with much else to do. */
  async call(line: string, tool: Tool = 'append'): Promise<Answer> {
    for (let left = CALLS_MAX; ; left -= 1) {
      const answer = await call(this.client, tool, line);
      const isUnavailable = answer.verdict?.kind === 'refused' && answer.verdict.code === 'unavailable';
      if (!isUnavailable || left === 1) return answer;
    }
  }

  /** How often the tool ran with this line. */
  runs(line: string): number {
    const file = join(this.root, 'ledger');
    if (!existsSync(file)) return 0;
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    return lines.filter((text) => text !== '' && (JSON.parse(text) as { line: string }).line === line).length;
  }

  async close(): Promise<void> {
    await this.client?.close().catch(() => {});
    await this.gateway?.stop();
    await this.kill();
    await this.#balancer.close();
    await this.database.drop();
  }

  async #openLedger(): Promise<void> {
    this.gateway = await startPart<GatewayReady>([
      ...['gateway', '--issuer', this.issuer, '--name', 'ledger', '--port', String(await freePort())],
      ...['--key-file', join(this.root, 'gateway.key.json'), '--risk', 'write=*'],
      ...['--', process.execPath, LEDGER_SERVER, join(this.root, 'ledger')],
    ]);
    await acceptToolServer(this.operator, this.gateway.ready);
    this.agent = await registerAgent(this.operator, this.issuer);
    const { taskId } = await this.agent.startTask({
      resource: this.resource,
      tools: ['append', 'append_slowly'],
      purpose: 'Keep the ledger',
    });
    this.taskId = taskId;
    this.client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
    const authProvider = this.agent.authProvider(taskId, this.resource);
    await this.client.connect(new StreamableHTTPClientTransport(new URL(this.resource), { authProvider }));
  }
}
