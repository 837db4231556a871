import { expect } from 'vitest';
import type { Organisation } from './organisation.ts';

export interface Trace {
  readonly requester: { readonly id: string; readonly name: string };
  readonly tasks: readonly { readonly task_id: string; readonly state: string; readonly budget: readonly object[] }[];
  readonly delegations: readonly Hop[];
  readonly events: readonly TraceEvent[];
  readonly names: Readonly<Record<string, string>>;
  readonly next: number | null;
}

interface Hop {
  readonly delegation_id: string;
  readonly parent_id: string | null;
  readonly agent: { readonly id: string; readonly name: string };
  readonly owner: { readonly name: string };
  readonly depth: number;
  readonly tools: Readonly<Record<string, readonly string[]>> | null;
  readonly constraints: readonly object[];
  readonly revoked_at: string | null;
}

export interface TraceEvent {
  readonly position: number | null;
  readonly kind: string;
  readonly ids: Readonly<Record<string, string | number | null>>;
}

/** Decided by policy: each says under which version, of which hop, and on whose behalf. */
const DECIDED: readonly string[] = ['call.permitted', 'call.denied', 'step_up.registered'];

/** The trace as a machine that administers reads it. What holds for every trace is checked here. */
export async function traceOf({ api, policyVersion }: Organisation, taskId: string): Promise<Trace> {
  const trace = (await api('GET', `/tasks/${taskId}/trace`)) as unknown as Trace;
  expect(trace.next).toBeNull();
  const positions = trace.events.map(({ position }) => position).filter((one) => one !== null);
  expect(positions).toEqual([...positions].sort((left, right) => left - right));
  const versions = trace.events.map(({ ids }) => ids.policy_version).filter((one) => one != null);
  expect(new Set(versions)).toEqual(new Set([policyVersion]));
  const onBehalfOf = trace.events.map(({ ids }) => ids.requester).filter((one) => one != null);
  expect(new Set(onBehalfOf)).toEqual(new Set([trace.requester.id]));
  for (const { kind, ids } of trace.events.filter((one) => DECIDED.includes(one.kind))) {
    expect(ids, kind).toMatchObject({ policy_version: policyVersion, requester: trace.requester.id });
    expect(trace.delegations.map((one) => one.delegation_id)).toContain(ids.delegation);
  }
  for (const used of eventsOf(trace, 'grant.redeemed')) {
    const outcome = eventsOf(trace, 'outcome.recorded').find(({ ids }) => ids.redemption === used.ids.redemption);
    expect(outcome).toMatchObject({ ids: { outcome: 'done' } });
  }
  return trace;
}

/** `Support (Sam) > Billing (Bea)`: one line for each hop that nothing hangs below. */
export function linesOf({ delegations }: Trace): string[] {
  const byId = new Map(delegations.map((one) => [one.delegation_id, one]));
  const above = new Set(delegations.map(({ parent_id }) => parent_id));
  const line = (hop: Hop): string => {
    const words = `${hop.agent.name} (${hop.owner.name})`;
    const parent = hop.parent_id === null ? undefined : byId.get(hop.parent_id);
    return parent === undefined ? words : `${line(parent)} > ${words}`;
  };
  return delegations.filter((one) => !above.has(one.delegation_id)).map(line);
}

/** What happened, in order: the kind, on what, why, and who did it. `kinds` are those that are told. */
export function storyOf({ events, names }: Trace, kinds: readonly string[] = STORY): string[] {
  return events
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, ids }) => {
      const by = ids.person ?? ids.by ?? ids.agent;
      const who = typeof by === 'string' ? `by ${names[by] ?? by}` : undefined;
      return [kind, ids.name ?? ids.tool, ids.code, who].filter((word) => word != null).join(' ');
    });
}

/** What a person who reads a trace looks for; tokens and what only repeats it are left out. */
const STORY: readonly string[] = [
  'task.started',
  'delegation.made',
  'delegation.refused',
  'delegation.revoked',
  'call.permitted',
  'call.denied',
  'step_up.opened',
  'decision.made',
  'grant.redeemed',
  'task.budget_used_up',
  'task.ended',
];

export function eventsOf({ events }: Trace, kind: string): TraceEvent[] {
  return events.filter((event) => event.kind === kind);
}
