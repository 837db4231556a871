import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { GUARD_API_SCOPE } from '../../src/wire/guard_api.ts';
import { importSigningKey, type SigningKey } from '../../src/wire/signing_key.ts';
import { RawGuard } from '../../test/api/raw_guard.ts';
import type { Installation } from './installation.ts';
import { type BenchAgent, registerAgent } from './register_agent.ts';

/** Who asks the nodes: an operator, an agent with a task, and a guard without our library, accepted. */
export interface NodeWorld {
  readonly installation: Installation;
  readonly operator: ScriptedPerson;
  readonly agent: BenchAgent;
  readonly key: SigningKey;
  readonly guard: RawGuard;
  readonly taskId: string;
  close(): Promise<void>;
}

export async function setNodeWorld(installation: Installation, known?: ScriptedPerson): Promise<NodeWorld> {
  const operator = known ?? (await installation.becomeOperator());
  const agent = await registerAgent(operator, installation.issuer);
  const guard = await acceptedGuard(operator, installation.issuer, 'notes');
  const taskId = await startTask(agent, guard);
  const key = await importSigningKey(agent.agentKey);
  return { installation, operator, agent, key, guard, taskId, close: () => guard.close() };
}

export async function startTask({ agent }: BenchAgent, { resource }: RawGuard): Promise<string> {
  const tools = ['read_note', 'write_note'];
  return (await agent.startTask({ resource, tools, purpose: 'Measure', seconds: 3_600 })).taskId;
}

export async function acceptedGuard(operator: ScriptedPerson, issuer: string, name: string): Promise<RawGuard> {
  const guard = await RawGuard.listen(issuer, name);
  await guard.register();
  const page = await operator.open(`/tool-servers/${guard.toolServerId}`);
  const accepted = await operator.submit(page, { action: /\/accept$/ });
  if (accepted.status !== 200) throw new Error(`The guard was not accepted: ${accepted.status}`);
  return guard;
}

/** New ones, good for the next minutes. */
export async function newTokens({ agent, guard, taskId }: NodeWorld): Promise<{ caller: string; own: string }> {
  const provider = agent.agent.authProvider(taskId, guard.resource);
  return { caller: await provider.token(), own: await guard.token({ scope: GUARD_API_SCOPE }) };
}
