import type { EntityJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { RiskClass } from '../wire/manifest.ts';
import {
  type AgentFacts,
  agentEntity,
  type CedarQuestion,
  type PersonFacts,
  personEntity,
  reference,
  toolEntityId,
} from './call_request.ts';

/**
 * Whether one agent may hand this work to another: tools of one tool server. Facts of our own records, as in `CallRequest`;
 * nothing that an agent says about the work is among them.
 */
export interface DelegateRequest {
  readonly server: string;
  readonly from: AgentFacts;
  readonly to: AgentFacts;
  readonly requester: PersonFacts;
  readonly task: {
    readonly id: string;
    readonly purpose_code: string;
    /** Hops so far. */
    readonly depth: number;
    /** Names of the tools of this server that the agent itself has. */
    readonly tools: readonly string[];
  };
  /** What is handed on. */
  readonly tools: readonly { readonly name: string; readonly risk: RiskClass }[];
  /** Ids of the agents so far, the first one first, the one that hands on last. */
  readonly chain: readonly string[];
  /** How the requester signed in (RFC 8176). */
  readonly amr: readonly string[];
}

/** In Cedar's words: the principal hands on to the resource. `context.depth` counts this hop, too. */
export function delegateQuestion(request: DelegateRequest): CedarQuestion {
  const { from, to, requester, task } = request;
  const server = { type: 'ToolServer', id: request.server };
  const people = new Map([requester, from.owner, to.owner].map((person) => [person.id, person]));
  return {
    principal: { type: 'Agent', id: from.id },
    action: { type: 'Action', id: 'delegate' },
    resource: { type: 'Agent', id: to.id },
    context: {
      requester: reference('Person', requester.id),
      amr: [...request.amr],
      task: reference('Task', task.id),
      chain: request.chain.map((id) => reference('Agent', id)),
      server: reference('ToolServer', request.server),
      tools: request.tools.map(({ name }) => reference('Tool', toolEntityId(request.server, name))),
      risks: [...new Set(request.tools.map(({ risk }) => risk))],
      depth: task.depth + 1,
    },
    entities: [
      ...[...people.values()].map(personEntity),
      agentEntity(from),
      agentEntity(to),
      { uid: server, attrs: { name: request.server }, parents: [] },
      ...request.tools.map(({ name, risk }) => toolEntity(request.server, name, risk)),
      {
        uid: { type: 'Task', id: task.id },
        attrs: {
          purpose_code: task.purpose_code,
          requester: reference('Person', requester.id),
          tools: task.tools.map((name) => reference('Tool', toolEntityId(request.server, name))),
          servers: [reference('ToolServer', request.server)],
          depth: task.depth,
        },
        parents: [],
      },
    ],
  };
}

function toolEntity(server: string, name: string, risk: RiskClass): EntityJson {
  return {
    uid: { type: 'Tool', id: toolEntityId(server, name) },
    attrs: { name, risk },
    parents: [{ type: 'ToolServer', id: server }],
  };
}
