import { type Selectable, sql } from 'kysely';
import type { PolicyBook } from '../agents/policy_book.ts';
import type { ToolServer } from '../agents/tool_servers.ts';
import { lockChain } from '../approvals/ancestors.ts';
import { forgetCached, wakeStepUp } from '../approvals/status.ts';
import { append, setEventTime } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Chain } from '../model/eligibility.ts';
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

/** As PostgreSQL names it (0001_initial.ts). */
const ATTEMPT_CONSTRAINT = 'redemptions_guard_instance_attempt_id_key';

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
  const { bindingDigest } = call.value;
  const { principal, owner } = chain.value;
  const ids = {
    requester_id: principal.requester,
    owner_id: owner.id,
    agent_id: principal.agent,
    task_id: principal.task,
    delegation_id: principal.delegation,
    tool_server_id: server.id,
  };
  try {
    return await transact(store, async (tx, afterCommit) => {
      const locked = await lockChain(tx, ids, { ofBinding: bindingDigest });
      if (!locked.ok) return refuse(store, tx, afterCommit, input, bindingDigest, locked.refusal);
      const grant = await lockGrant(tx, bindingDigest);
      if (!grant.ok) return refuse(store, tx, afterCommit, input, bindingDigest, grant.refusal);
      setEventTime(tx, grant.value.read_at);
      const lifted = checkPolicy(store, grant.value, locked.value, (approvals) =>
        decideOnCall(book, policy, { server, chain: chain.value, action: call.value.action, approvals }),
      );
      if (!lifted.ok) {
        // Left alive, a grant that nothing carries any more would stand in the way of asking anew.
        if (lifted.refusal.code === 'grant_missing') await revokeGrant(store, tx, afterCommit, grant.value);
        return refuse(store, tx, afterCommit, input, bindingDigest, lifted.refusal);
      }
      return use(store, tx, afterCommit, input, grant.value);
    });
  } catch (error) {
    if (!isAttemptTaken(error)) throw error;
    const raced = await findAttempt(store.db, input, bindingDigest);
    if (raced === undefined) throw error;
    return raced;
  }
}

/** A grant with what was decided on it: the requirements it met, and the votes with the eligibility of their voters now. */
interface Grant extends Selectable<GrantsTable> {
  readonly is_running: boolean;
  readonly read_at: Date;
  readonly requirements: Requirements;
  readonly votes: readonly { id: string; state: string; is_administrator: boolean; decision: 'approve' | 'deny' }[];
}

async function findAttempt(
  db: Tx | Store['db'],
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
  return accepted({ redemption_id: row.id, step_up_id: row.step_up_id, repeated: true });
}

/** Its own statement after the chain is locked, so that a vote or an offboarding that was waited for is seen. */
async function lockGrant(tx: Tx, bindingDigest: string): Promise<Result<Grant, Refusal>> {
  const { rows: grants } = await sql<Grant>`select g.*, s.requirements,
      g.expires_at > clock_timestamp() as is_running, clock_timestamp() as read_at,
      (select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'state', p.state,
          'is_administrator', p.is_administrator, 'decision', d.decision)), '[]')
        from decisions d join people p on p.id = d.person_id
        where d.step_up_id = s.id and d.revision = s.revision) as votes
    from grants g join step_ups s on s.id = g.step_up_id
    where g.binding_digest = ${bindingDigest}
    order by g.created_at desc
    for update of g`.execute(tx);
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

function checkPolicy(
  store: Store,
  grant: Grant,
  chain: Chain,
  decideWith: (approvals: readonly string[]) => Decision,
): Result<true, Refusal> {
  const votes = grant.votes.map(({ id, state, is_administrator, decision }) => ({
    voter: { id, isActive: state === 'active', isAdministrator: is_administrator },
    decision,
  }));
  const counted = tally(grant.requirements, votes, chain, store.rules.singleOperator);
  if (counted.state !== 'approved') {
    return refused(refusal('grant_missing', 'Those who approved this call may not do so any more.'));
  }
  const decision = decideWith(counted.gates);
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
  const id = newId('red');
  const { rows } = await sql<{ uses: number }>`with used as (
      update grants set uses = uses + 1
      where id = ${grant.id} and uses < max_uses and revoked_at is null and expires_at > clock_timestamp()
      returning id, step_up_id, binding_digest, uses
    )
    insert into redemptions (id, grant_id, step_up_id, binding_digest, use_no, attempt_id, guard_instance)
    select ${id}, id, step_up_id, binding_digest, uses, ${input.attemptId}, ${input.guardInstance} from used
    returning use_no as uses`.execute(tx);
  // Its last moment passed while the policy was asked.
  if (rows[0] === undefined) {
    const expired = refusal('grant_expired', 'The grant for this call expired before it was used.');
    return refuse(store, tx, afterCommit, input, grant.binding_digest, expired);
  }
  const { uses } = rows[0];
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

/**
 * Why this attempt is refused, unless it had its use before: then that is its answer, whatever has changed since. A racing
 * request of the same attempt may have committed while this one waited for the locks.
 */
async function refuse(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  input: Redeem,
  bindingDigest: string,
  found: Refusal,
): Promise<Result<RedeemAnswer, Refusal>> {
  return (await findAttempt(tx, input, bindingDigest)) ?? recordRefusal(store, tx, afterCommit, input, found);
}

/** The other request of this very attempt committed first; the use that this one took is rolled back. */
function isAttemptTaken(error: unknown): boolean {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return code === '23505' && constraint === ATTEMPT_CONSTRAINT;
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
