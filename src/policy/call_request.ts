import type { EntityJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { JsonObject } from '../kernel/json.ts';
import type { RiskClass } from '../wire/manifest.ts';
import type { Reads } from './expression.ts';
import type { CedarRecord } from './project_arguments.ts';

export interface PersonFacts {
  readonly id: string;
  readonly groups: readonly string[];
  readonly is_administrator: boolean;
}

export interface AgentFacts {
  readonly id: string;
  readonly name: string;
  readonly kind: 'interactive' | 'service';
  /** The part of the organisation that administrators put it in. */
  readonly trust_zone: string;
  readonly owner: PersonFacts;
}

/**
 * One question to the policy, in facts the server has established itself: from the caller's token and its own records,
 * never from the word of an agent or a guard. The class of the tool is not among them: it comes from the manifest.
 */
export interface CallRequest {
  readonly action: 'call' | 'read' | 'prompt';
  readonly server: string;
  /** Name of the tool or the prompt, or the URI of the resource. */
  readonly target: string;
  readonly arguments: JsonObject;
  readonly agent: AgentFacts;
  /** Ids of the agents that handed the work on, the first one first, and of the one that calls. */
  readonly chain: readonly string[];
  readonly requester: PersonFacts;
  readonly task: {
    readonly id: string;
    /** One of the codes an administrator defined; the task's free text never comes here. Empty when there is none. */
    readonly purpose_code: string;
    /** Names of the tools of this server that the task may use. */
    readonly tools: readonly string[];
    /** Delegations between the requester's own agent and this one. */
    readonly depth: number;
  };
  /** Names of the gates whose own requirements hold for this call; empty except while redeeming. */
  readonly approvals: readonly string[];
  /** How the requester signed in (RFC 8176). */
  readonly amr: readonly string[];
}

/** A request in Cedar's words, with just the entities it needs: Cedar parses them anew each time. */
export interface CedarQuestion {
  readonly principal: { type: string; id: string };
  readonly action: { type: string; id: string };
  readonly resource: { type: string; id: string };
  readonly context: CedarRecord;
  readonly entities: EntityJson[];
}

export function toolEntityId(server: string, tool: string): string {
  return `${server}/${tool}`;
}

/** `reads` says what the policies at hand look at; without it, everything is handed over. */
export function cedarQuestion(
  request: CallRequest,
  risk: RiskClass,
  input: CedarRecord,
  reads: Reads = { input: 'all', tools: 'all' },
): CedarQuestion {
  const { action, agent, requester, task } = request;
  const server = { type: 'ToolServer', id: request.server };
  const tool = { type: 'Tool', id: toolEntityId(request.server, request.target) };
  const entities: EntityJson[] = [
    personEntity(requester),
    { uid: server, attrs: { name: request.server }, parents: [] },
    agentEntity(agent),
    taskEntity(request, reads),
  ];
  if (agent.owner.id !== requester.id) entities.push(personEntity(agent.owner));
  if (action === 'call') entities.push({ uid: tool, attrs: { name: request.target, risk }, parents: [server] });
  return {
    principal: { type: 'Agent', id: agent.id },
    action: { type: 'Action', id: action },
    resource: action === 'call' ? tool : server,
    context: {
      approvals: [...request.approvals],
      amr: [...request.amr],
      task: reference('Task', task.id),
      requester: reference('Person', requester.id),
      chain: request.chain.map((id) => reference('Agent', id)),
      input: visibleInput(input, reads),
      ...(action === 'read' ? { uri: request.target } : {}),
      ...(action === 'prompt' ? { name: request.target } : {}),
    },
    entities,
  };
}

function visibleInput(input: CedarRecord, { input: names }: Reads): CedarRecord {
  if (names === 'all') return input;
  return Object.fromEntries(Object.entries(input).filter(([name]) => names.has(name)));
}

function taskEntity({ task, requester, server, target }: CallRequest, reads: Reads): EntityJson {
  const tools = reads.tools === 'all' ? task.tools : task.tools.filter((name) => name === target);
  return {
    uid: { type: 'Task', id: task.id },
    attrs: {
      purpose_code: task.purpose_code,
      requester: reference('Person', requester.id),
      tools: tools.map((name) => reference('Tool', toolEntityId(server, name))),
      servers: task.tools.length > 0 ? [reference('ToolServer', server)] : [],
      depth: task.depth,
    },
    parents: [],
  };
}

export function agentEntity(agent: AgentFacts): EntityJson {
  return {
    uid: { type: 'Agent', id: agent.id },
    attrs: {
      name: agent.name,
      kind: agent.kind,
      trust_zone: agent.trust_zone,
      owner: reference('Person', agent.owner.id),
    },
    parents: [],
  };
}

export function personEntity(person: PersonFacts): EntityJson {
  return {
    uid: { type: 'Person', id: person.id },
    attrs: { is_administrator: person.is_administrator },
    parents: person.groups.map((id) => ({ type: 'Group', id })),
  };
}

export function reference(type: string, id: string): { __entity: { type: string; id: string } } {
  return { __entity: { type, id } };
}
