import { canonicalJson } from '../kernel/canonical_json.ts';
import { accepted, type Result } from '../kernel/result.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { BoundConstraint, ToolConstraint } from '../wire/constraints.ts';
import { labelledDigest } from '../wire/labelled_digest.ts';
import { ACT_DEPTH_MAX, CONSTRAINTS_IN_CHAIN_MAX } from '../wire/limits.ts';
import type { HopFacts } from './delegation_facts.ts';
import { type DelegationRefusal, refuseDelegation } from './delegation_refusal.ts';
import { DELEGATION_CHAIN_MAX } from './limits.ts';
import type { CallChain } from './principal.ts';

/** One tool server that work is handed on for. */
export interface Target {
  readonly server: { readonly id: string; readonly name: string };
  readonly resource: string;
  /** Left out: all that the one who hands on has there. */
  readonly tools?: readonly string[] | undefined;
  readonly constraints?: readonly ToolConstraint[] | undefined;
}

/** What a delegation includes. */
export interface DelegationContent {
  readonly tools: ToolSelection;
  /** Those of every hop above included. */
  readonly constraints: readonly BoundConstraint[];
}

type Above = Pick<CallChain, 'constraints'> & {
  readonly task: Pick<CallChain['task'], 'tools'>;
  readonly lineage: Pick<CallChain['lineage'], 'agent_ids' | 'delegation_ids'>;
};

/** What no policy can permit: hops between agents that are not peers, too many of them, and circles. */
export function judgeHop({ lineage }: Above, hop: HopFacts): Result<true, DelegationRefusal> {
  const { agent_ids: agents } = lineage;
  if (agents.includes(hop.taker.id)) {
    return refuseDelegation('looped', 'This agent is in the chain already: work is never handed back to it.');
  }
  if (!hop.mayGive || !hop.mayTake) {
    return refuseDelegation(
      'peer_not_approved',
      'These two agents are not approved as peers in this direction. Ask the owners of both.',
    );
  }
  // RFC 8693 §4.1: everybody in the chain is in the token.
  if (agents.length >= ACT_DEPTH_MAX) {
    return refuseDelegation('too_deep', `At most ${ACT_DEPTH_MAX} agents may act for each other.`);
  }
  const stopped = hop.depthsMax.findIndex((max, index) => agents.length - index > max);
  if (stopped >= 0) {
    const message = `An agent of this chain lets at most ${hop.depthsMax[stopped]} hops follow it.`;
    return refuseDelegation('too_deep', message);
  }
  return accepted(true);
}

/** Narrowings of one agent for itself are no hops, and still must end. */
export function judgeLength({ lineage }: Above): Result<true, DelegationRefusal> {
  return lineage.delegation_ids.length < DELEGATION_CHAIN_MAX
    ? accepted(true)
    : refuseDelegation('chain_too_long', `A chain has at most ${DELEGATION_CHAIN_MAX} delegations.`);
}

/**
 * The part of what `above` has that these targets name. What is asked for by name must be there, whole; what is left out is what
 * both `above` and the agent that takes it may have. Constraints only ever come to those above.
 */
export function narrowTo(
  above: Above,
  targets: readonly Target[],
  bound: ToolSelection | null,
): Result<DelegationContent, DelegationRefusal> {
  const tools: Record<string, readonly string[]> = {};
  const constraints = [...above.constraints];
  for (const { server, ...asked } of targets) {
    if (Object.hasOwn(tools, server.id)) {
      return refuseDelegation('resource_outside', `The tool server "${server.name}" is named twice.`);
    }
    const part = toolsOf(at(above.task.tools, server.id), asked.tools, bound === null ? null : at(bound, server.id));
    if (!part.ok) return part;
    if (part.value.length === 0) {
      const message = `What is handed on includes no tool of "${server.name}" that this agent may have.`;
      return refuseDelegation('resource_outside', message);
    }
    tools[server.id] = part.value;
    for (const constraint of asked.constraints ?? []) {
      if (!part.value.includes(constraint.tool)) {
        const message = `A constraint is about "${constraint.tool}", which is not handed on.`;
        return refuseDelegation('constraint_outside', message);
      }
      constraints.push({ ...constraint, tool_server_id: server.id });
    }
  }
  const distinct = [...new Map(constraints.map((one) => [canonicalJson(one), one])).values()];
  if (distinct.length > CONSTRAINTS_IN_CHAIN_MAX) {
    const message = `A chain has at most ${CONSTRAINTS_IN_CHAIN_MAX} constraints.`;
    return refuseDelegation('too_many_constraints', message);
  }
  return accepted({ tools, constraints: distinct });
}

function at(tools: ToolSelection, serverId: string): readonly string[] {
  return Object.hasOwn(tools, serverId) ? tools[serverId]! : [];
}

function toolsOf(
  held: readonly string[],
  asked: readonly string[] | undefined,
  bound: readonly string[] | null,
): Result<readonly string[], DelegationRefusal> {
  const allowed = new Set(bound === null ? held : held.filter((name) => bound.includes(name)));
  const beyond = asked?.find((name) => !allowed.has(name));
  if (beyond !== undefined) {
    return refuseDelegation('tool_outside', `The tool "${beyond}" is not within what can be handed on to this agent.`);
  }
  return accepted([...new Set(asked ?? allowed)].sort());
}

/** The same for the same content, in whatever order it was asked for. */
export function contentDigest(content: DelegationContent, seconds: number | undefined): string {
  const constraints = content.constraints.map((one) => canonicalJson(one)).sort();
  const tools = Object.fromEntries(Object.entries(content.tools).map(([server, names]) => [server, [...names]]));
  return labelledDigest('countersign-delegation/1', canonicalJson({ tools, constraints, seconds: seconds ?? null }));
}
