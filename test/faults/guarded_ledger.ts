import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import { acceptToolServer, type GatewayReady } from '../../examples/demo/set_up.ts';
import type { ServiceAgent } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { endsWithUs } from './ends_with_us.ts';
import type { Topology } from './topology.ts';

const LEDGER_SERVER = fileURLToPath(new URL('../fixtures/ledger_server.ts', import.meta.url));

/** A real gateway before a tool that leaves a mark each time it runs, at the servers of a topology. */
export class GuardedLedger {
  readonly gateway: Part<GatewayReady>;
  readonly #file: string;
  readonly #clients: Client[] = [];

  private constructor(gateway: Part<GatewayReady>, file: string) {
    this.gateway = gateway;
    this.#file = file;
  }

  /** Accepted, with its tools of class "write". */
  static async open(place: Topology): Promise<GuardedLedger> {
    const file = join(place.root, 'ledger');
    const gateway = await startPart<GatewayReady>([
      ...['gateway', '--issuer', place.issuer, '--name', 'ledger', '--port', String(await freePort())],
      ...['--key-file', join(place.root, 'gateway.key.json'), '--risk', 'write=*'],
      ...['--', process.execPath, LEDGER_SERVER, file],
    ]);
    endsWithUs(gateway.process);
    await acceptToolServer(place.operator, gateway.ready);
    return new GuardedLedger(gateway, file);
  }

  get resource(): string {
    return this.gateway.ready.resource;
  }

  /** An ordinary MCP client of the agent, within a task of it. */
  async connect(agent: ServiceAgent, task: string): Promise<Client> {
    const client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
    this.#clients.push(client);
    const authProvider = agent.authProvider(task, this.resource);
    await client.connect(new StreamableHTTPClientTransport(new URL(this.resource), { authProvider }));
    return client;
  }

  startTask(agent: ServiceAgent): Promise<{ readonly taskId: string }> {
    return agent.startTask({ resource: this.resource, tools: ['append', 'append_slowly'], purpose: 'Keep the ledger' });
  }

  /** How often the tool ran with each line. */
  runs(): Map<string, number> {
    const text = existsSync(this.#file) ? readFileSync(this.#file, 'utf8').trim() : '';
    const lines = text.split('\n').filter((line) => line !== '');
    const counts = new Map<string, number>();
    for (const line of lines.map((mark) => (JSON.parse(mark) as { line: string }).line)) {
      counts.set(line, (counts.get(line) ?? 0) + 1);
    }
    return counts;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#clients.map((client) => client.close()));
    await this.gateway.stop();
  }
}
