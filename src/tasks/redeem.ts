import { type Selectable, sql } from 'kysely';
import type { PolicyBook } from '../agents/policy_book.ts';
import type { ToolServer } from '../agents/tool_servers.ts';
import { lockChain } from '../approvals/ancestors.ts';
import { loadChain } from '../approvals/chain.ts';
import { loadVotes } from '../approvals/decide.ts';
import { findStepUp, forgetCached, wakeStepUp } from '../approvals/status.ts';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Requirements } from '../model/requirements.ts';
import { tally } from '../model/step_up.ts';
import type { Decision } from '../policy/decide.ts';
import type { GrantsTable } from '../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import type { AccessTokenClaims } from '../wire/claims.ts';
import type { RedeemAnswer, RedeemRequest } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { decideOnCall, describeCall } from './decide_call.ts';
import { loadCallChain } from './principal.ts';

export interface Redeem {
  readonly server: ToolServer;
  readonly claims: AccessTokenClaims;
  readonly action: RedeemRequest['action'];
  readonly attemptId: string;
  readonly guardInstance: string;
}

/**
 * Uses the grant for exactly this action, once per attempt (invariants 1 and 2). In one transaction: lock the ancestors,
 * lock the grant, recount the votes of people who are eligible now, ask the policy in force again with the gates they
 * meet, take one use, write the redemption and its event. The same attempt of the same guard instance asking again is
 * told its first answer, marked as repeated, and must not run.
 */
export async function redeem(store: Store, book: PolicyBook, input: Redeem): Promise<Result<RedeemAnswer, Refusal>> {
  const { server } = input;
  const chain = await loadCallChain(store, input.claims);
  if (!chain.ok) {
    return transact(store, (tx, afterCommit) => recordRefusal(store, tx, afterCommit, input, chain.refusal));
  }
  const call = describeCall(store, server, chain.value, input.action);
  if (!call.ok) return call;
  const policy = await book.compiledFor(store, server);
  return transact(store, async (tx, afterCommit) => {
    const before = await findAttempt(tx, input, call.value.bindingDigest);
    if (before !== undefined) return before;
    const { principal, owner } = chain.value;
    const ids = {
      requester_id: principal.requester,
      owner_id: owner.id,
      agent_id: principal.agent,
      task_id: principal.task,
      delegation_id: principal.delegation,
      tool_server_id: server.id,
    };
    const alive = await lockChain(tx, ids, await findVoters(tx, call.value.bindingDigest));
    if (!alive.ok) return recordRefusal(store, tx, afterCommit, input, alive.refusal);
    const grant = await lockGrant(tx, call.value.bindingDigest);
    // A racing request of the same attempt may have committed while this one waited for the lock.
    const raced = await findAttempt(tx, input, call.value.bindingDigest);
    if (raced !== undefined) return raced;
    if (!grant.ok) return recordRefusal(store, tx, afterCommit, input, grant.refusal);
    const lifted = await checkPolicy(store, tx, {
      grant: grant.value,
      decide: (approvals) =>
        decideOnCall(book, policy, { server, chain: chain.value, action: call.value.action, approvals }),
    });
    if (!lifted.ok) {
      // Left alive, a grant that nothing carries any more would stand in the way of asking anew.
      if (lifted.refusal.code === 'grant_missing') await revokeGrant(store, tx, afterCommit, grant.value);
      return recordRefusal(store, tx, afterCommit, input, lifted.refusal);
    }
    return use(store, tx, afterCommit, input, grant.value);
  });
}

type Grant = Selectable<GrantsTable>;

async function findAttempt(
  tx: Tx,
  input: Redeem,
  bindingDigest: string,
): Promise<Result<RedeemAnswer, Refusal> | undefined> {
  const row = await tx
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
  return accepted({ redemption_id: row.id, step_up_id: row.step_up_id, repeated: true });
}

/** Those who decided on what the grants of this binding were made for. Decided step-ups get no further votes. */
async function findVoters(tx: Tx, bindingDigest: string): Promise<string[]> {
  const rows = await tx
    .selectFrom('decisions')
    .innerJoin('grants', 'grants.step_up_id', 'decisions.step_up_id')
    .select('decisions.person_id')
    .where('grants.binding_digest', '=', bindingDigest)
    .execute();
  return rows.map((row) => row.person_id);
}

async function lockGrant(tx: Tx, bindingDigest: string): Promise<Result<Grant, Refusal>> {
  const grants = await tx
    .selectFrom('grants')
    .selectAll()
    .select(sql<boolean>`expires_at > clock_timestamp()`.as('is_running'))
    .where('binding_digest', '=', bindingDigest)
    .orderBy('created_at', 'desc')
    .forUpdate()
    .execute();
  const live = grants.find((grant) => grant.revoked_at === null && grant.is_running && grant.uses < grant.max_uses);
  if (live !== undefined) return accepted(live);
  const newest = grants[0];
  if (newest === undefined || newest.revoked_at !== null) {
    return refused(refusal('grant_missing', 'There is no live grant for exactly this call.'));
  }
  return newest.uses >= newest.max_uses
    ? refused(refusal('grant_used', 'The grant for this call was used.'))
    : refused(refusal('grant_expired', 'The grant for this call expired before it was used.'));
}

async function checkPolicy(
  store: Store,
  tx: Tx,
  found: { readonly grant: Grant; readonly decide: (approvals: readonly string[]) => Decision },
): Promise<Result<true, Refusal>> {
  const stepUp = (await findStepUp(tx, found.grant.step_up_id))!;
  const requirements = stepUp.requirements as unknown as Requirements;
  const votes = await loadVotes(tx, stepUp);
  const counted = tally(requirements, votes, await loadChain(tx, stepUp), store.rules.singleOperator);
  if (counted.state !== 'approved') {
    return refused(refusal('grant_missing', 'Those who approved this call may not do so any more.'));
  }
  const decision = found.decide(counted.gates);
  if (decision.kind === 'permit') return accepted(true);
  if (decision.kind === 'deny') return refused(refusal(decision.code, decision.message));
  return refused(refusal('grant_missing', 'The policy changed since this call was approved and asks anew.'));
}

async function revokeGrant(store: Store, tx: Tx, afterCommit: AfterCommit, grant: Grant): Promise<void> {
  await tx.updateTable('grants').set({ revoked_at: sql<Date>`clock_timestamp()` }).where('id', '=', grant.id).execute();
  await append(store, tx, afterCommit, {
    kind: 'grant.revoked',
    ids: { grant: grant.id, step_up: grant.step_up_id },
  });
  afterCommit(() => forgetCached(store, grant.step_up_id));
  afterCommit(() => wakeStepUp(store, grant.step_up_id));
}

async function use(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  input: Redeem,
  grant: Grant,
): Promise<Result<RedeemAnswer, Refusal>> {
  const used = await tx
    .updateTable('grants')
    .set((set) => ({ uses: set('uses', '+', 1) }))
    .where('id', '=', grant.id)
    .whereRef('uses', '<', 'max_uses')
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', sql<Date>`clock_timestamp()`)
    .returning('uses')
    .executeTakeFirst();
  // Its last moment passed while the policy was asked.
  if (used === undefined) {
    const expired = refusal('grant_expired', 'The grant for this call expired before it was used.');
    return recordRefusal(store, tx, afterCommit, input, expired);
  }
  const { uses } = used;
  const id = newId('red');
  await tx
    .insertInto('redemptions')
    .values({
      id,
      grant_id: grant.id,
      step_up_id: grant.step_up_id,
      binding_digest: grant.binding_digest,
      use_no: uses,
      attempt_id: input.attemptId,
      guard_instance: input.guardInstance,
      outcome_sealed: null,
      outcome_at: null,
    })
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'grant.redeemed',
    ids: {
      redemption: id,
      grant: grant.id,
      step_up: grant.step_up_id,
      use_no: uses,
      binding_digest: grant.binding_digest,
      guard_instance: input.guardInstance,
    },
  });
  afterCommit(() => forgetCached(store, grant.step_up_id));
  return accepted({ redemption_id: id, step_up_id: grant.step_up_id, repeated: false });
}

/** A refused redemption changes nothing, and is in the audit all the same (T57). */
async function recordRefusal(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  input: Redeem,
  found: Refusal,
): Promise<Result<RedeemAnswer, Refusal>> {
  await append(store, tx, afterCommit, {
    kind: 'grant.refused',
    ids: {
      tool_server: input.server.id,
      task: input.claims.task.id,
      code: found.code,
      name: input.action.name.slice(0, 200),
    },
  });
  return refused(found);
}
