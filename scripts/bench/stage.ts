import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import {
  acceptToolServer,
  becomeOperator,
  type GatewayReady,
  type ServerReady,
  startServer,
} from '../../examples/demo/set_up.ts';
import type { AgentKey, ServiceAgent } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/dev.ts';
import type { BareProviderReady } from './bare_provider.ts';
import { READ_TOOL, WRITE_TOOL } from './notes_server.ts';
import { startProgram } from './programs.ts';
import { registerAgent } from './register_agent.ts';
import { startBareProvider } from './start_bare_provider.ts';
import type { ToolServerReady } from './tool_server.ts';

export const STDIO_COMMAND = [process.execPath, fileURLToPath(new URL('./stdio_server.ts', import.meta.url))];

/** One server with an operator and an agent, and every way to the same tool server, all as processes of their own. */
export interface Stage {
  readonly server: Part<ServerReady>;
  readonly operator: ScriptedPerson;
  readonly agent: ServiceAgent;
  readonly agentKey: AgentKey;
  readonly clientId: string;
  /** Of the task that may use every tool server here. */
  readonly tasks: ReadonlyMap<string, string>;
  /** Resources, by how they are reached. */
  readonly bare: string;
  readonly guarded: string;
  readonly gatewayHttp: string;
  readonly gatewayStdio: string;
  readonly bareProvider: BareProviderReady;
  /** By resource; the gateway before Streamable HTTP counts its upstream. */
  readonly pids: ReadonlyMap<string, readonly number[]>;
}

export async function setStage(closing: (() => Promise<unknown>)[]): Promise<Stage> {
  // Questions are the load here; the quotas that keep an agent from flooding a person are a setting.
  process.env.COUNTERSIGN_STEP_UPS__PER_AGENT_PER_MINUTE = '100000';
  process.env.COUNTERSIGN_STEP_UPS__OPEN_PER_AGENT = '100000';
  const root = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  closing.push(() => rm(root, { recursive: true, force: true }));
  const keep = <Running extends { stop(): Promise<unknown> }>(running: Running): Running => {
    closing.push(() => running.stop());
    return running;
  };
  const server = keep(await startServer(join(root, 'data')));
  const { issuer } = server.ready;
  const operator = await becomeOperator(server.ready, 'Operator');
  const { agent, agentKey, clientId, publicJwk } = await registerAgent(operator, issuer);

  const toolServer = async (...more: string[]) => {
    const args = ['--port', String(await freePort()), ...more];
    return keep(await startProgram<ToolServerReady>(new URL('./tool_server.ts', import.meta.url), args));
  };
  const bare = await toolServer();
  const guarded = await toolServer('--issuer', issuer);
  await acceptToolServer(operator, asGateway(guarded.ready));
  const gateway = async (name: string, ...upstream: string[]) => {
    const port = String(await freePort());
    const place = ['--issuer', issuer, '--name', name, '--port', port, '--key-file', join(root, `${name}.key.json`)];
    const risks = ['--risk', `read=${READ_TOOL}`, '--risk', `write=${WRITE_TOOL}`];
    const started = keep(await startPart<GatewayReady>(['gateway', ...place, ...risks, ...upstream]));
    await acceptToolServer(operator, started.ready);
    return { resource: started.ready.resource, pid: started.process.pid ?? 0 };
  };
  const overHttp = await gateway('over-http', '--url', bare.ready.resource);
  const overStdio = await gateway('over-stdio', '--', ...STDIO_COMMAND);
  const tasks = new Map<string, string>();
  for (const resource of [guarded.ready.resource, overHttp.resource, overStdio.resource]) {
    const tools = [READ_TOOL, WRITE_TOOL];
    tasks.set(resource, (await agent.startTask({ resource, tools, purpose: 'Measure calls' })).taskId);
  }
  const barePid = bare.process.pid ?? 0;
  const issuerPid = server.ready.pid;
  const pids = new Map([
    [bare.ready.resource, [barePid]],
    [guarded.ready.resource, [guarded.process.pid ?? 0, issuerPid]],
    [overHttp.resource, [overHttp.pid, barePid, issuerPid]],
    [overStdio.resource, [overStdio.pid, issuerPid]],
  ]);
  const bareProvider = keep(await startBareProvider({ clientId, publicJwk }, ['--data-dir', join(root, 'bare')]));
  return {
    ...{ server, operator, agent, agentKey, clientId, tasks, pids },
    ...{ gatewayHttp: overHttp.resource, gatewayStdio: overStdio.resource },
    ...{ bare: bare.ready.resource, guarded: guarded.ready.resource, bareProvider: bareProvider.ready },
  };
}

function asGateway({ resource, console_url }: ToolServerReady): GatewayReady {
  return { resource, console_url: console_url ?? '', state: '', tool_server: '', tools: 0 };
}
