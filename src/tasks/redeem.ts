import { sql } from 'kysely';
import type { PinnedPolicy, PolicyBook } from '../agents/policy_book.ts';
import { findToolServer, type ToolServer } from '../agents/tool_servers.ts';
import { recordAgentUse } from '../agents/uses.ts';
import { budgetUsedUp, lackingBudget } from '../approvals/budget.ts';
import { chainOf } from '../approvals/lineage.ts';
import { forgetCached, wakeStepUp } from '../approvals/status.ts';
import { append } from '../events/append.ts';
import { record } from '../events/record.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { tally } from '../model/step_up.ts';
import type { Decision } from '../policy/decide.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import type { Action } from '../wire/action_digest.ts';
import type { AccessTokenClaims } from '../wire/claims.ts';
import type { RedeemAnswer, RedeemRequest } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { chargesOf } from './charges.ts';
import { decideOnCall, describeCall } from './decide_call.ts';
import { REDEEM_ROUNDS_MAX } from './limits.ts';
import { type CallChain, loadCallChain } from './principal.ts';
import { findRedeemableGrant, type RedeemableGrant } from './redeemable_grant.ts';
import { type Use, useGrant } from './use_grant.ts';

export interface Redeem {
  readonly server: ToolServer;
  readonly claims: AccessTokenClaims;
  readonly action: RedeemRequest['action'];
  readonly attemptId: string;
  readonly guardInstance: string;
}

/**
 * Uses the grant for exactly this action, once per attempt (invariants 1 and 2): read the chain, the grant and its votes;
 * recount those of people who are eligible now; ask the policy in force again with the gates they meet; then take one use
 * in a statement that holds only if all of it is still so. The same attempt of the same guard instance asking again is
 * told its first answer, marked as repeated, and must not run.
 */
export async function redeem(store: Store, book: PolicyBook, input: Redeem): Promise<Result<RedeemAnswer, Refusal>> {
  let { server } = input;
  for (let round = 0; round < REDEEM_ROUNDS_MAX; round += 1) {
    const answer = await redeemOnce(store, book, { ...input, server });
    if (answer !== 'changed') return answer;
    server = (await findToolServer(store, server.id)) ?? server;
    book.lookAgain(server.id);
  }
  return refuse(store, input, refusal('conflict', 'What this call descends from kept changing. Call again.'));
}

async function redeemOnce(
  store: Store,
  book: PolicyBook,
  input: Redeem,
): Promise<Result<RedeemAnswer, Refusal> | 'changed'> {
  const { server, attemptId, guardInstance } = input;
  const chain = await loadCallChain(store, input.claims);
  if (!chain.ok) return refuse(store, input, chain.refusal);
  const call = describeCall(store, server, chain.value, input.action);
  if (!call.ok) return call;
  const policy = await book.compiledFor(store, server);
  if (server.state !== 'active') return refuse(store, input, inactive());
  const { bindingDigest } = call.value;
  const found = await findRedeemableGrant(store, bindingDigest);
  if (!found.ok) return repeatedOr(store, input, bindingDigest, found.refusal);
  const grant = found.value;
  const judged = judge(store, grant, input, chain.value, (approvals) =>
    decideOnCall(book, policy, {
      server,
      chain: chain.value,
      action: call.value.action,
      approvals,
      dpop: store.rules.dpop,
    }),
  );
  if (!judged.ok) {
    // Left alive, a grant that nothing carries any more would stand in the way of asking anew.
    if (judged.refusal.code === 'grant_missing') await revokeGrant(store, grant);
    return repeatedOr(store, input, bindingDigest, judged.refusal);
  }
  const charges = chargesOf(chain.value.task.budgeted, server.id, call.value.action);
  if (!charges.ok) return repeatedOr(store, input, bindingDigest, charges.refusal);
  const tool = policy.ok ? toolOf(policy.value, call.value.action) : null;
  const { jti } = input.claims;
  const use = {
    ...{ server, chain: chain.value, grant, jti, tool, attemptId, guardInstance },
    policyVersion: judged.value,
    charges: charges.value,
  };
  const used = await useGrant(store, use);
  if (used === 'changed') return used;
  if (used === 'budget_used_up') return overBudget(store, input, use, bindingDigest);
  if (used === 'attempt_taken') return (await findAttempt(store, input, bindingDigest)) ?? 'changed';
  if (tool !== null) {
    recordAgentUse(store, {
      agentIds: chain.value.lineage.agent_ids,
      toolServerId: server.id,
      toolName: tool.name,
    });
  }
  await forgetCached(store, grant.step_up_id);
  return accepted({ redemption_id: used, step_up_id: grant.step_up_id, repeated: false });
}

function toolOf({ pins }: PinnedPolicy, { method, name }: Action): Use['tool'] {
  const pin = method === 'tools/call' ? pins.get(name) : undefined;
  return pin === undefined ? null : { name, ...pin };
}

function judge(
  store: Store,
  grant: RedeemableGrant,
  { server }: Redeem,
  chain: CallChain,
  decideWith: (approvals: readonly string[]) => Decision,
): Result<string, Refusal> {
  const votes = grant.votes.map(({ id, state, is_administrator, groups, decision }) => ({
    voter: { id, isActive: state === 'active', isAdministrator: is_administrator, groups },
    decision,
  }));
  const counted = tally(grant.requirements, votes, chainOf(chain.lineage, server.owner_id), store.rules.singleOperator);
  if (counted.state !== 'approved') {
    return refused(refusal('grant_missing', 'Those who approved this call may not do so any more.'));
  }
  const decision = decideWith(counted.gates);
  if (decision.kind === 'permit') return accepted(decision.policy_version);
  if (decision.kind === 'deny') return refused(refusal(decision.code, decision.message));
  return refused(refusal('grant_missing', 'The policy changed since this call was approved and asks anew.'));
}

/** An attempt that had its use before is told so, whatever has changed since: its tool may have run. */
async function repeatedOr(
  store: Store,
  input: Redeem,
  bindingDigest: string,
  found: Refusal,
): Promise<Result<RedeemAnswer, Refusal>> {
  return (await findAttempt(store, input, bindingDigest)) ?? refuse(store, input, found);
}

/** The grant stays, unused: nothing ran, and the decision was not about the budget. */
async function overBudget(
  store: Store,
  input: Redeem,
  { chain, charges, server, grant }: Use,
  bindingDigest: string,
): Promise<Result<RedeemAnswer, Refusal> | 'changed'> {
  const lacking = await lackingBudget(store.db, chain.lineage.task_ids, charges);
  const repeated = await findAttempt(store, input, bindingDigest);
  if (repeated !== undefined || lacking === null) return repeated ?? 'changed';
  const { requester, agent, task } = chain.principal;
  await record(
    store,
    {
      kind: 'task.budget_used_up',
      ids: {
        tool_server: server.id,
        method: input.action.method,
        name: input.action.method === 'tools/call' ? input.action.name : null,
        action_digest: input.action.action_digest,
        step_up: grant.step_up_id,
        requester,
        agent,
        task,
        budget: lacking,
      },
    },
    chain.readAt,
  );
  return refused(budgetUsedUp(lacking));
}

async function findAttempt(
  { db }: Store,
  input: Redeem,
  bindingDigest: string,
): Promise<Result<RedeemAnswer, Refusal> | undefined> {
  const row = await db
    .selectFrom('redemptions')
    .select(['id', 'step_up_id', 'binding_digest'])
    .where('guard_instance', '=', input.guardInstance)
    .where('attempt_id', '=', input.attemptId)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  if (row.binding_digest !== bindingDigest) {
    return refused(
      refusal('conflict', 'This attempt id was used for another call. Make a new one for every execution.'),
    );
  }
  await assureDurable(db);
  return accepted({ redemption_id: row.id, step_up_id: row.step_up_id, repeated: true });
}

async function revokeGrant(store: Store, grant: RedeemableGrant): Promise<void> {
  await transact(store, async (tx, afterCommit) => {
    const revoked = await tx
      .updateTable('grants')
      .set({ revoked_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', grant.id)
      .where('uses', '=', grant.uses)
      .where('revoked_at', 'is', null)
      .returning('id')
      .executeTakeFirst();
    if (revoked === undefined) return;
    await append(store, tx, afterCommit, {
      kind: 'grant.revoked',
      ids: { grant: grant.id, step_up: grant.step_up_id },
    });
    afterCommit(() => forgetCached(store, grant.step_up_id));
    afterCommit(() => wakeStepUp(store, grant.step_up_id));
  });
}

/** A refused redemption changes nothing, and is in the audit all the same (T57). */
async function refuse(store: Store, input: Redeem, found: Refusal): Promise<Result<RedeemAnswer, Refusal>> {
  await transact(store, (tx, afterCommit) =>
    append(store, tx, afterCommit, {
      kind: 'grant.refused',
      ids: {
        tool_server: input.server.id,
        task: input.claims.task.id,
        code: found.code,
        name: input.action.name.slice(0, 200),
      },
    }),
  );
  return refused(found);
}

function inactive(): Refusal {
  return refusal('tool_server_inactive', 'The tool server is not active any more.');
}
