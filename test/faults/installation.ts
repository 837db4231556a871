import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
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
import { type GuardVerdict, readStepUp, type ServiceAgent, type Waiting } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const LEDGER_SERVER = fileURLToPath(new URL('../fixtures/ledger_server.ts', import.meta.url));
const POLL_MS = 25;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const run = promisify(execFile);

export type Tool = 'append' | 'append_slowly';

/** What one call of a tool came to: what the guard said of it, if anything, and the text an agent reads. */
export interface Answer {
  readonly verdict: GuardVerdict | null;
  readonly text: string;
  readonly isError: boolean;
}

/** A server, a gateway before a tool that leaves marks, an operator and an agent: all real processes of our own commands. */
export class Installation {
  readonly root: string;
  readonly dataDirectory: string;
  readonly ledger: string;
  readonly #config: string;
  readonly #port: number;
  readonly #gatewayPort: number;
  server!: Part<ServerReady>;
  gateway!: Part<GatewayReady>;
  operator!: ScriptedPerson;
  agent!: ServiceAgent;
  taskId = '';
  readonly #clients: Client[] = [];

  private constructor(root: string, dataDirectory: string, ports: readonly [number, number]) {
    this.root = root;
    this.dataDirectory = dataDirectory;
    this.ledger = join(root, 'ledger');
    this.#config = join(root, 'countersign.yaml');
    [this.#port, this.#gatewayPort] = ports;
  }

  /** Everything up, the tool server accepted with both tools of class "write", a task started. */
  static async open(name: string, options: { readonly dataDirectory?: string } = {}): Promise<Installation> {
    const installation = await Installation.openServer(name, options);
    await installation.startGateway();
    await acceptToolServer(installation.operator, installation.gateway.ready);
    installation.agent = await registerAgent(installation.operator, installation.issuer);
    const { taskId } = await installation.agent.startTask({
      resource: installation.gateway.ready.resource,
      tools: ['append', 'append_slowly'],
      purpose: 'Keep the ledger',
    });
    installation.taskId = taskId;
    return installation;
  }

  /** The server alone, and its operator. */
  static async openServer(name: string, options: { readonly dataDirectory?: string } = {}): Promise<Installation> {
    const root = await makeScratchDirectory(name);
    const dataDirectory = options.dataDirectory ?? join(root, 'data');
    const installation = new Installation(root, dataDirectory, [await freePort(), await freePort()]);
    await mkdir(dataDirectory, { recursive: true });
    await writeFile(installation.#config, configuration(installation.issuer));
    await installation.startServer();
    installation.operator = await becomeOperator(installation.server.ready, 'Operator');
    return installation;
  }

  get issuer(): string {
    return `http://localhost:${this.#port}`;
  }

  async startServer(): Promise<void> {
    const options = ['--port', String(this.#port), '--data-dir', this.dataDirectory, '--config', this.#config];
    this.server = await startPart<ServerReady>(['dev', ...options]);
  }

  async startGateway(): Promise<void> {
    this.gateway = await startPart<GatewayReady>([
      ...['gateway', '--issuer', this.issuer, '--name', 'ledger', '--port', String(this.#gatewayPort)],
      ...['--key-file', join(this.root, 'gateway.key.json'), '--risk', 'write=*'],
      ...['--', process.execPath, LEDGER_SERVER, this.ledger],
    ]);
  }

  /** An ordinary MCP client of the agent. It authenticates as needed. */
  async connect(): Promise<Client> {
    const { resource } = this.gateway.ready;
    const client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
    const authProvider = this.agent.authProvider(this.taskId, resource);
    await client.connect(new StreamableHTTPClientTransport(new URL(resource), { authProvider }));
    this.#clients.push(client);
    return client;
  }

  /** Makes the call and approves it. The next same call runs. */
  async approved(client: Client, tool: Tool, line: string): Promise<Waiting> {
    const waiting = await this.pending(client, tool, line);
    await this.decide(waiting, 'approve');
    return waiting;
  }

  async pending(client: Client, tool: Tool, line: string): Promise<Waiting> {
    const { verdict, text } = await call(client, tool, line);
    if (verdict?.kind !== 'waiting') throw new Error(`The call does not wait for approval: ${text}`);
    return verdict;
  }

  /** Resolves once the server has acknowledged the decision. */
  async decide(waiting: Waiting, decision: 'approve' | 'deny'): Promise<void> {
    await decideByScript(this.operator, waiting, decision);
  }

  /** How often the tool ran with this line. */
  runs(line: string): number {
    return this.marks().filter((mark) => mark.line === line).length;
  }

  marks(): { line: string; pid: number }[] {
    if (!existsSync(this.ledger)) return [];
    const lines = readFileSync(this.ledger, 'utf8').trim().split('\n');
    return lines.filter((text) => text !== '').map((text) => JSON.parse(text));
  }

  /** The process that runs the call with this line now. */
  async runningIn(line: string): Promise<number> {
    return until(`the tool runs with ${line}`, () => this.marks().find((mark) => mark.line === line)?.pid);
  }

  /** Lets slow calls answer, or hold again. */
  release(isReleased = true): void {
    if (isReleased) writeFileSync(`${this.ledger}.go`, '');
    else rmSync(`${this.ledger}.go`, { force: true });
  }

  /** Stops the server, exports its log and verifies the file offline. Resolves with the export. */
  async audit(): Promise<string> {
    const key = this.server.ready.verifier_key;
    await this.server.stop();
    const where = ['--data-dir', this.dataDirectory, '--config', this.#config];
    const exported = await run(process.execPath, [COMMAND, 'audit', 'export', ...where], {
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    const file = join(this.root, 'audit.jsonl');
    await writeFile(file, exported.stdout);
    await run(process.execPath, [COMMAND, 'audit', 'verify', file, '--key', key]);
    return exported.stdout;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#clients.map((client) => client.close()));
    await Promise.all([this.gateway, this.server].map((part) => part?.stop()));
  }
}

// Many approvals in a short time are what these tests make; people and agents never do.
function configuration(issuer: string): string {
  return [
    `issuer: ${issuer}`,
    'mode: single_operator',
    'step_ups: { per_agent_per_minute: 10000, open_per_agent: 100, replay_window_seconds: 900 }',
    'clients:',
    '  - client_id: editor',
    '    client_name: Editor',
    '    redirect_uris: [http://127.0.0.1:5555/callback]',
    '',
  ].join('\n');
}

/** Calls without a progress token, so that the guard answers at once instead of holding the call. */
export async function call(client: Client, tool: Tool, line: string): Promise<Answer> {
  const result = await client.callTool({ name: tool, arguments: { line } });
  const { content = [], isError } = result as { content?: { text?: string }[]; isError?: boolean };
  return {
    verdict: readStepUp(result),
    text: content.map((block) => block.text ?? '').join('\n'),
    isError: isError === true,
  };
}

/** kill -9, without a chance to tidy up, and waits until the process is gone. */
export async function killHard(part: Part<unknown>): Promise<void> {
  const child = part.process;
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Waits, for a bounded time, until `read` gives something. */
export async function until<Value>(
  what: string,
  read: () => Promise<Value | undefined> | Value | undefined,
  msMax = 15_000,
): Promise<Value> {
  const deadline = Date.now() + msMax;
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`Waited ${msMax / 1000} s, and not yet: ${what}.`);
    await sleep(POLL_MS);
  }
}
