import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { type AgentKey, createServiceAgent, generateAgentKey, type ServiceAgent } from '../../src/agent/index.ts';

export interface BenchAgent {
  readonly agent: ServiceAgent;
  readonly agentKey: AgentKey;
  readonly clientId: string;
  readonly publicJwk: object;
}

/** The operator registers an agent with its key, and answers for it. */
export async function registerAgent(operator: ScriptedPerson, issuer: string): Promise<BenchAgent> {
  const { key: agentKey, publicJwk } = await generateAgentKey();
  const fields = { name: 'Bench agent', purpose: 'Measures calls', jwks: JSON.stringify({ keys: [publicJwk] }) };
  const page = await operator.submit(await operator.open('/agents'), { action: /\/agents$/ }, fields);
  const clientId = /agt_[a-z2-7]{26}/.exec(page.url)?.[0] ?? /agt_[a-z2-7]{26}/.exec(page.html)?.[0];
  if (clientId === undefined) throw new Error(`The agent was not registered: ${page.status}`);
  return { agent: createServiceAgent({ issuer, clientId, key: agentKey }), agentKey, clientId, publicJwk };
}
