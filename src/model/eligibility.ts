import type { Gate, Requirements } from './requirements.ts';

export interface Voter {
  readonly id: string;
  readonly isActive: boolean;
  readonly isAdministrator: boolean;
  /** Names and ids of the groups this person is in. */
  readonly groups: readonly string[];
}

/** The people who act in the chain of a call: nobody among them decides about it (invariant 6). */
export interface Chain {
  readonly requesterId: string;
  /** Owners and deputies of every agent in it, past ones included since the task began. */
  readonly accountableIds: readonly string[];
  /** Who may have a credential of one of them, and could act as it. */
  readonly keyHolderIds: readonly string[];
  readonly toolServerOwnerId: string | null;
}

const GROUP = 'group:';

/**
 * Whether this person may vote for this gate. The task's own requester may only where the gate names `requester`;
 * whoever answers for an agent of the chain, or may have its keys, only as that requester. In single-operator mode the one administrator may vote anywhere, once.
 */
export function mayVoteFor(gate: Gate, voter: Voter, chain: Chain, singleOperator: boolean): boolean {
  if (!voter.isActive) return false;
  if (singleOperator && voter.isAdministrator) return true;
  if (voter.id === chain.requesterId) return gate.approvers.includes('requester');
  if (chain.accountableIds.includes(voter.id) || chain.keyHolderIds.includes(voter.id)) return false;
  return gate.approvers.some((approver) => {
    if (approver === 'administrators') return voter.isAdministrator;
    if (approver === 'owner') return voter.id === chain.toolServerOwnerId;
    if (approver.startsWith(GROUP)) return voter.groups.includes(approver.slice(GROUP.length));
    return approver === `person:${voter.id}`;
  });
}

/** Deciding about one's own agent or errand: this needs proof that the person, not the agent, is at the keyboard. */
export function isSelfApproval(voterId: string, chain: Chain): boolean {
  return voterId === chain.requesterId || chain.accountableIds.includes(voterId);
}

/**
 * A passkey with user verification is asked for by tier, for self-approval, and wherever more than one person is needed:
 * a session alone does not prove that two sessions are two people. In single-operator mode it is never asked for, and
 * there one person is all there is.
 */
export function needsPasskey(
  requirements: Requirements,
  voterId: string,
  chain: Chain,
  singleOperator: boolean,
): boolean {
  if (singleOperator) return false;
  const peopleNeeded = requirements.gates.reduce((sum, gate) => sum + gate.quorum, 0);
  return requirements.tier !== 'standard' || peopleNeeded > 1 || isSelfApproval(voterId, chain);
}

/**
 * The gates that these voters meet together. Each quorum counts on its own and a person counts once over all gates, so
 * this assigns people to places (augmenting paths); a gate is met when all its places are taken. In single-operator mode
 * what needs more than one person is never met.
 */
export function gatesMet(
  gates: readonly Gate[],
  voters: readonly Voter[],
  chain: Chain,
  singleOperator: boolean,
): ReadonlySet<string> {
  const places = gates.flatMap((gate) => Array.from({ length: gate.quorum }, () => gate));
  // Without passkeys, a second account is no second person: whoever is alone could have made it (design §3).
  if (singleOperator && places.length > 1) return new Set();
  const taken = new Map<number, Voter>();
  const seat = (voter: Voter, tried: Set<number>): boolean => {
    for (const [place, gate] of places.entries()) {
      if (tried.has(place) || !mayVoteFor(gate, voter, chain, singleOperator)) continue;
      tried.add(place);
      const sitting = taken.get(place);
      if (sitting === undefined || seat(sitting, tried)) {
        taken.set(place, voter);
        return true;
      }
    }
    return false;
  };
  const distinct = new Map(voters.map((voter) => [voter.id, voter]));
  for (const voter of distinct.values()) seat(voter, new Set());
  const open = new Set(places.flatMap((gate, place) => (taken.has(place) ? [] : [gate.name])));
  return new Set(gates.map((gate) => gate.name).filter((name) => !open.has(name)));
}

/** Whether everyone who could vote would be enough: if not, asking is pointless and the call is refused at once. */
export function canEverBeMet(
  gates: readonly Gate[],
  people: readonly Voter[],
  chain: Chain,
  singleOperator: boolean,
): boolean {
  return gatesMet(gates, people, chain, singleOperator).size === gates.length;
}
