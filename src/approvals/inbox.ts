import { mayVoteFor } from '../model/eligibility.ts';
import type { Requirements } from '../model/requirements.ts';
import type { StepUpSummary } from '../model/step_up_view.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { loadVoter } from './chain.ts';
import { INBOX_MAX } from './limits.ts';
import { chainOf, loadLineages } from './lineage.ts';
import { openAction } from './sealed_action.ts';

/** What a person may decide or has a part in, newest first; undecided ones only if `open`. */
export async function listStepUps(
  store: Store,
  input: { readonly personId: string; readonly open: boolean; readonly limit?: number },
): Promise<StepUpSummary[]> {
  return transactRepeatably(store, async (tx) => {
    const voter = await loadVoter(tx, input.personId);
    if (voter === undefined || !voter.isActive) return [];
    const rows = await tx
      .selectFrom('step_ups as s')
      .innerJoin('people as r', 'r.id', 's.requester_id')
      .innerJoin('agents as a', 'a.id', 's.agent_id')
      .innerJoin('tasks as t', 't.id', 's.task_id')
      .innerJoin('tool_servers as v', 'v.id', 's.tool_server_id')
      .select(['s.id', 's.state', 's.requester_id', 's.requirements', 's.tool_name', 's.created_at', 's.expires_at'])
      .select(['s.action_sealed', 's.data_key_wrapped', 's.delegation_id'])
      .select(['r.display_name', 'a.name as agent_name', 't.purpose', 'v.name as server_name'])
      .select(['v.owner_id as server_owner_id'])
      .where('s.state', input.open ? '=' : '!=', input.open ? 'open' : 'registered')
      .orderBy('s.created_at', 'desc')
      .limit(INBOX_MAX)
      .execute();
    const lineages = await loadLineages(
      tx,
      rows.map((row) => row.delegation_id),
    );
    const now = Date.now();
    const summaries: StepUpSummary[] = [];
    for (const row of rows) {
      const chain = chainOf(lineages.get(row.delegation_id)!, row.server_owner_id);
      const { gates } = row.requirements as unknown as Requirements;
      const mayVote = gates.some((gate) => mayVoteFor(gate, voter, chain, store.rules.singleOperator));
      const isParty = voter.isAdministrator || voter.id === row.requester_id || chain.accountableIds.includes(voter.id);
      const isPast = row.state === 'open' && row.expires_at.getTime() <= now;
      if ((!mayVote && !isParty) || (input.open && isPast)) continue;
      summaries.push({
        id: row.id,
        arguments: openAction(store, row)?.arguments ?? null,
        state: isPast ? 'expired' : row.state,
        agentName: row.agent_name,
        requesterName: row.display_name,
        toolName: row.tool_name,
        toolServerName: row.server_name,
        purpose: row.purpose,
        createdAt: row.created_at,
        expiresAt: row.expires_at,
        mayDecide: mayVote && row.state === 'open' && !isPast,
      });
    }
    return summaries.slice(0, input.limit ?? INBOX_MAX);
  });
}
