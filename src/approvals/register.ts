import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Charge, ELEVATED_GRANTS, STEP_UPS } from '../model/budget.ts';
import { canEverBeMet } from '../model/eligibility.ts';
import type { Requirements } from '../model/requirements.ts';
import type { Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import type { Action } from '../wire/action_digest.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { lockChain } from './ancestors.ts';
import { budgetUsedUp, spend } from './budget.ts';
import { loadActiveVoters, loadChainAndLineage } from './chain.ts';
import { expireBinding } from './expire.ts';
import { DENIALS_PER_AGENT_MAX } from './limits.ts';
import { sealAction } from './sealed_action.ts';
import type { StepUpRow } from './status.ts';

export interface RegisterStepUp {
  readonly action: Action;
  readonly actionDigest: string;
  readonly bindingDigest: string;
  /** W3C Trace Context of the call. */
  readonly traceparent?: string | undefined;
  readonly requesterId: string;
  readonly agentId: string;
  readonly taskId: string;
  readonly delegationId: string;
  readonly clientId: string;
  readonly toolServerId: string;
  readonly risk: string;
  readonly policyVersion: string;
  readonly requirements: Requirements;
  readonly guardInstance: string;
  /** The task, or one above it, has a budget. */
  readonly isBudgeted: boolean;
  /** What the call itself will take, which must be there before anybody is asked. */
  readonly charges: readonly Charge[];
}

const STEP_UP: readonly Charge[] = [{ what: STEP_UPS, amount: '1' }];
const GRANT: readonly Charge[] = [{ what: ELEVATED_GRANTS, amount: '1' }];

/**
 * Registers a step-up, or finds the undecided one of the same binding digest: of many callers one inserts and all get
 * the same row. Refused before any write when nobody could decide it or the agent asks too often (design-review 27).
 * It opens, and can be seen, only when the guard hands in the signed challenge.
 */
export async function registerStepUp(store: Store, input: RegisterStepUp): Promise<Result<StepUpRow, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const ids = { delegation_id: input.delegationId, tool_server_id: input.toolServerId };
    const { chain, lineage } = await loadChainAndLineage(tx, ids);
    // What ends the task meanwhile waits for this, and withdraws what it finds then; or this finds the task ended.
    const alive = await lockChain(tx, lineage, input.toolServerId, []);
    if (!alive.ok) return alive;
    await expireBinding(store, tx, afterCommit, input.bindingDigest);
    const known = await findUndecided(tx, input.bindingDigest);
    if (known !== undefined) return accepted(known);
    const allowed = await checkQuotas(store, tx, input.agentId);
    if (!allowed.ok) return allowed;
    const { gates } = input.requirements;
    if (!canEverBeMet(gates, await loadActiveVoters(tx, gates, chain), chain, store.rules.singleOperator)) {
      return refused(
        refusal(
          'no_eligible_approver',
          'This call needs approval, but nobody who exists here may give it for this chain of agents and people.',
        ),
      );
    }
    const row = await tx
      .insertInto('step_ups')
      .values({ ...columns(input), ...sealAction(store, input.action) })
      .onConflict((conflict) =>
        conflict.column('binding_digest').where('state', 'in', ['registered', 'open']).doNothing(),
      )
      .returningAll()
      .executeTakeFirst();
    if (row === undefined) return accepted((await findUndecided(tx, input.bindingDigest))!);
    const lacking = input.isBudgeted ? await spend(tx, lineage.task_ids, STEP_UP, [...GRANT, ...input.charges]) : null;
    if (lacking !== null) {
      // Only whoever inserts knows that there is something to count; nobody has seen the row.
      await tx.deleteFrom('step_ups').where('id', '=', row.id).execute();
      return refused(budgetUsedUp(lacking));
    }
    await append(store, tx, afterCommit, {
      kind: 'step_up.registered',
      ids: {
        step_up: row.id,
        task: row.task_id,
        agent: row.agent_id,
        requester: row.requester_id,
        tool_server: row.tool_server_id,
        tool: row.tool_name,
        delegation: row.delegation_id,
        binding_digest: row.binding_digest,
        policy_version: row.policy_version,
        ...(input.traceparent === undefined ? {} : { traceparent: input.traceparent }),
      },
    });
    return accepted(row);
  });
}

function columns(input: RegisterStepUp) {
  return {
    id: newId('stp'),
    txn: newId('txn'),
    state: 'registered' as const,
    binding_digest: input.bindingDigest,
    action_digest: input.actionDigest,
    requester_id: input.requesterId,
    agent_id: input.agentId,
    task_id: input.taskId,
    delegation_id: input.delegationId,
    client_id: input.clientId,
    tool_server_id: input.toolServerId,
    tool_name: input.action.name,
    risk: input.risk,
    policy_version: input.policyVersion,
    requirements: JSON.stringify(input.requirements satisfies Requirements as unknown as JsonObject),
    challenge: null,
    guard_instance: input.guardInstance,
    reason: null,
    revision: 1,
    opened_at: null,
    // Nobody is asked for longer than the answer could be used.
    expires_at: sql<Date>`least(clock_timestamp() + make_interval(secs => ${input.requirements.timeout_seconds}),
      (select expires_at from tasks where id = ${input.taskId}),
      (select expires_at from delegations where id = ${input.delegationId}))`,
    decided_at: null,
  };
}

async function findUndecided(tx: Tx, bindingDigest: string): Promise<StepUpRow | undefined> {
  return tx
    .selectFrom('step_ups')
    .selectAll()
    .where('binding_digest', '=', bindingDigest)
    .where('state', 'in', ['registered', 'open'])
    .executeTakeFirst();
}

/** Under a lock of the agent's own, so that parallel registrations count each other. */
async function checkQuotas(store: Store, tx: Tx, agentId: string): Promise<Result<true, Refusal>> {
  const { stepUpsPerAgentPerMinute, openStepUpsPerAgent, denialCooldownSeconds } = store.rules;
  await sql`select pg_advisory_xact_lock(hashtextextended(${`step-up-quota:${agentId}`}, 0))`.execute(tx);
  const { recent, open, denied } = await tx
    .selectFrom('step_ups')
    .select([
      sql<number>`count(*) filter (where created_at > clock_timestamp() - interval '1 minute')`.as('recent'),
      sql<number>`count(*) filter (where state in ('registered', 'open') and expires_at > clock_timestamp())`.as(
        'open',
      ),
      sql<number>`count(*) filter (where state = 'denied'
        and decided_at > clock_timestamp() - make_interval(secs => ${denialCooldownSeconds}))`.as('denied'),
    ])
    .where('agent_id', '=', agentId)
    // Not `clock_timestamp()`: by that no index is searched. What it lets in besides counts for nothing above.
    .where('created_at', '>', sql<Date>`now() - interval '1 day'`)
    .executeTakeFirstOrThrow();
  if (denied >= DENIALS_PER_AGENT_MAX) {
    return refused(
      refusal('denied_recently', `People refused ${denied} calls of this agent a short while ago. Nobody was asked.`, {
        retry_after_seconds: denialCooldownSeconds,
      }),
    );
  }
  if (recent >= stepUpsPerAgentPerMinute) {
    return refused(
      refusal(
        'too_many_step_ups',
        `This agent asked for ${recent} approvals within a minute. People are not to be worn down.`,
        {
          retry_after_seconds: 60,
        },
      ),
    );
  }
  if (open >= openStepUpsPerAgent) {
    return refused(
      refusal('too_many_step_ups', `${open} requests of this agent wait for a decision already.`, {
        retry_after_seconds: 60,
      }),
    );
  }
  return accepted(true);
}
