import { type Chain, gatesMet, type Voter } from './eligibility.ts';
import type { Requirements } from './requirements.ts';

export type Vote = { readonly voter: Voter; readonly decision: 'approve' | 'deny' };

/**
 * The state of an open step-up after these votes: one denial ends it, all gates met approves it, else it stays open.
 * Votes of people who are no longer eligible do not count for approval; a denial stands whoever gave it.
 */
export function tally(
  requirements: Requirements,
  votes: readonly Vote[],
  chain: Chain,
  singleOperator: boolean,
): { readonly state: 'open' | 'approved' | 'denied'; readonly gates: readonly string[] } {
  if (votes.some((vote) => vote.decision === 'deny')) return { state: 'denied', gates: [] };
  const approving = votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.voter);
  const met = gatesMet(requirements.gates, approving, chain, singleOperator);
  return { state: met.size === requirements.gates.length ? 'approved' : 'open', gates: [...met] };
}
