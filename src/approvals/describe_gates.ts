import { type Chain, gatesMet, mayVoteFor, type Voter } from '../model/eligibility.ts';
import type { Requirements } from '../model/requirements.ts';
import type { GateView } from '../model/step_up_view.ts';

interface Approval {
  readonly person: string;
  readonly decision: 'approve' | 'deny';
  readonly voter: Voter;
}

/** Each gate as people read it, with who approved it so far. */
export function describeGates(
  requirements: Requirements,
  decisions: readonly Approval[],
  chain: Chain,
  singleOperator: boolean,
): GateView[] {
  const approvals = decisions.filter((decision) => decision.decision === 'approve');
  const voters = approvals.map((approval) => approval.voter);
  const met = gatesMet(requirements.gates, voters, chain, singleOperator);
  return requirements.gates.map((gate) => ({
    name: gate.name,
    why: gate.why,
    quorum: gate.quorum,
    isMet: met.has(gate.name),
    approvers: gate.approvers.map(describeApprover),
    approvedBy: approvals
      .filter((approval) => mayVoteFor(gate, approval.voter, chain, singleOperator))
      .map((approval) => approval.person),
  }));
}

function describeApprover(approver: string): string {
  if (approver === 'requester') return 'the person the agent works for';
  if (approver === 'owner') return 'the owner of the tool server';
  if (approver === 'administrators') return 'an administrator';
  if (approver.startsWith('group:')) return `the group ${approver.slice('group:'.length)}`;
  return `the person ${approver.slice('person:'.length)}`;
}
