import { TIERS, type Tier } from '../model/requirements.ts';

export { TIERS, type Tier };

/**
 * Who may approve. `requester` is the person the task runs for, `owner` the owner of the tool server. Naming
 * `requester` is what lets people decide about their own task (design §3, invariant 6); the agent's owner never may.
 */
export type Approver = 'requester' | 'owner' | 'administrators' | `group:${string}` | `person:${string}`;

/** What a gate asks for before it lets a call through. */
export interface GateTerms {
  readonly why: string;
  /** Any of these counts. */
  readonly approvers: readonly Approver[];
  /** Distinct persons. */
  readonly quorum: number;
  readonly tier: Tier;
  /** Life of the grant. */
  readonly ttl_seconds: number;
  readonly max_uses: number;
  /** How long the request stays open; after that it counts as denied. */
  readonly timeout_seconds: number;
}

export interface Gate extends GateTerms {
  /** `gate:<policy id>#<annotation hash>`: changing what a gate asks for makes another gate. */
  readonly name: string;
  readonly policy_id: string;
}

export type GateRequirement = Pick<Gate, 'name' | 'policy_id' | 'why' | 'approvers' | 'quorum'>;

/** What must hold before one call may run. Stored with the step-up, shown to its approvers. */
export interface Requirements {
  /** Each needs its own quorum, in the order of their names. */
  readonly gates: readonly GateRequirement[];
  readonly tier: Tier;
  readonly ttl_seconds: number;
  readonly max_uses: number;
  readonly timeout_seconds: number;
}

/**
 * Several gates on one call: every gate keeps its own approvers and quorum; of the rest the strictest holds (design §6).
 * Throws on an empty list, since a call that no gate holds back needs no approval.
 */
export function combineGates(gates: readonly Gate[]): Requirements {
  if (gates.length === 0) throw new TypeError('There is no gate to combine.');
  const byName = [...new Map(gates.map((gate) => [gate.name, gate])).values()].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  );
  return {
    gates: byName.map(({ name, policy_id, why, approvers, quorum }) => ({ name, policy_id, why, approvers, quorum })),
    tier: TIERS[Math.max(...byName.map((gate) => TIERS.indexOf(gate.tier)))]!,
    ttl_seconds: Math.min(...byName.map((gate) => gate.ttl_seconds)),
    max_uses: Math.min(...byName.map((gate) => gate.max_uses)),
    timeout_seconds: Math.min(...byName.map((gate) => gate.timeout_seconds)),
  };
}
