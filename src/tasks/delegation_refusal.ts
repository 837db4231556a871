import { type Refused, refused } from '../kernel/result.ts';
import type { Refusal } from '../wire/refusals.ts';

/**
 * Why work was not handed on, in the closed words of the audit log. What the agents are told says less where the rest is
 * nobody's business but the operator's.
 */
export type DelegationReason =
  // The request
  | 'request_malformed'
  | 'scope_outside'
  | 'resource_unknown'
  | 'resource_outside'
  | 'tool_outside'
  | 'constraint_outside'
  | 'too_many_constraints'
  // The token that is exchanged
  | 'subject_invalid'
  | 'subject_elevated'
  | 'subject_ended'
  | 'not_paired'
  | 'key_not_proven'
  // Who takes the work
  | 'actor_invalid'
  | 'actor_foreign'
  | 'actor_not_bound'
  | 'taker_inactive'
  // The rules
  | 'peer_not_approved'
  | 'too_deep'
  | 'looped'
  | 'chain_too_long'
  | 'too_many'
  | 'policy_denied'
  | 'policy_unavailable'
  // Nothing is wrong: the owner of an agent changed in this moment
  | 'ownership_changed';

export interface DelegationRefusal extends Refusal {
  readonly reason: DelegationReason;
}

/** `message` is safe to show to the agents. */
export function refuseDelegation(reason: DelegationReason, message: string): Refused<DelegationRefusal> {
  return refused({ code: 'delegation_refused', reason, message });
}
