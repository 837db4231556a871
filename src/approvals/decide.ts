import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { ELEVATED_GRANTS } from '../model/budget.ts';
import { mayVoteFor, needsPasskey } from '../model/eligibility.ts';
import type { SignedIn } from '../model/person.ts';
import type { Requirements } from '../model/requirements.ts';
import { tally } from '../model/step_up.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import type { StepUpState } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { lockAncestors } from './ancestors.ts';
import { budgetUsedUp, spend } from './budget.ts';
import { loadChain, loadVoter } from './chain.ts';
import { readDecisionToken } from './decision_token.ts';
import { REASON_LENGTH_MAX } from './limits.ts';
import { enqueue } from './outbox.ts';
import { cacheApproved, type StepUpRow, wakeStepUp } from './status.ts';
import { viewStepUp } from './view.ts';
import { loadVotes } from './votes.ts';

export interface Decide {
  readonly stepUpId: string;
  readonly signedIn: SignedIn;
  readonly decision: 'approve' | 'deny';
  /** For the agent to read; null for none. */
  readonly reason: string | null;
  /** From the form of the page the person read (`issueDecisionToken`). */
  readonly token: string;
  /** A passkey with user verification, confirmed for exactly this decision; null if none was asked for. */
  readonly confirmation: { readonly amr: readonly string[] } | null;
}

/**
 * One person's approve or deny. In one transaction: lock the ancestors, lock the step-up, check that it is undecided and
 * what was shown, that this person may decide now, insert the vote, recount every vote by currently eligible people,
 * move the state, make the grant. Of parallel decisions the first to commit wins; the others are told who decided. The
 * same decision by the same person on the same page is made once and acknowledged as often as it is sent.
 */
export async function decide(store: Store, input: Decide): Promise<Result<{ state: StepUpState }, Refusal>> {
  const reason = input.reason?.trim() || null;
  if (reason !== null && reason.length > REASON_LENGTH_MAX) {
    return refused(refusal('request_invalid', `A reason may have ${REASON_LENGTH_MAX} characters at most.`));
  }
  const shown = await viewStepUp(store, { stepUpId: input.stepUpId, personId: input.signedIn.person.id });
  if (!shown.ok) return shown;
  const token = readDecisionToken(store, {
    token: input.token,
    sessionIdHash: input.signedIn.sessionIdHash,
    view: shown.value,
    now: new Date(),
  });
  return transactRepeatably(store, async (tx, afterCommit) => {
    const ancestors = await lockAncestors(tx, input.stepUpId, input.signedIn.person.id);
    const row = await tx
      .selectFrom('step_ups')
      .selectAll()
      .where('id', '=', input.stepUpId)
      .forUpdate()
      .executeTakeFirst();
    if (row === undefined) return refused(refusal('not_found', 'There is no such request.'));
    if (token.kind === 'valid' && (await isRepeated(tx, row, input, shown.value.viewDigest))) {
      await assureDurable(tx);
      return accepted({ state: row.state });
    }
    const undecided = await checkUndecided(tx, row, await isStillRunning(tx, row.id));
    if (!undecided.ok) return undecided;
    if (token.kind === 'outdated') {
      return refused(refusal('page_outdated', 'The page you decided on is not the current one.'));
    }
    if (!ancestors.ok) return ancestors;
    const requirements = row.requirements as unknown as Requirements;
    const allowed = await checkVoter(store, tx, row, requirements, input, token.shownSecondsAgo);
    if (!allowed.ok) return allowed;
    return castVote(store, tx, afterCommit, { row, requirements, input, reason, viewDigest: shown.value.viewDigest });
  });
}

/** Whether this person made this very decision on this page before, and only its answer was lost. */
async function isRepeated(tx: Tx, row: StepUpRow, input: Decide, viewDigest: string): Promise<boolean> {
  const vote = await tx
    .selectFrom('decisions')
    .select(['decision', 'view_digest'])
    .where('step_up_id', '=', row.id)
    .where('revision', '=', row.revision)
    .where('person_id', '=', input.signedIn.person.id)
    .executeTakeFirst();
  return vote?.decision === input.decision && vote.view_digest === viewDigest;
}

/** A statement of its own: beside the lock, the clock would be read before the wait for the lock. */
async function isStillRunning(tx: Tx, stepUpId: string): Promise<boolean> {
  const { is_running } = await tx
    .selectFrom('step_ups')
    .select(sql<boolean>`expires_at > clock_timestamp()`.as('is_running'))
    .where('id', '=', stepUpId)
    .executeTakeFirstOrThrow();
  return is_running;
}

async function checkUndecided(tx: Tx, row: StepUpRow, isRunning: boolean): Promise<Result<true, Refusal>> {
  if (row.state === 'open' && isRunning) return accepted(true);
  if (row.state === 'registered') return refused(refusal('not_found', 'This request is not open yet.'));
  if (row.state === 'withdrawn') return refused(refusal('already_decided', row.reason ?? 'The request was withdrawn.'));
  if (row.state === 'expired' || row.state === 'open') {
    return refused(
      refusal(
        'already_decided',
        `The time to decide ended at ${row.expires_at.toISOString()}. That counts as a denial.`,
      ),
    );
  }
  const last = await tx
    .selectFrom('decisions')
    .innerJoin('people', 'people.id', 'decisions.person_id')
    .select(['people.display_name', 'decisions.decision', 'decisions.decided_at'])
    .where('step_up_id', '=', row.id)
    .orderBy('decided_at', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  const verb = row.state === 'approved' ? 'approved' : 'denied';
  return refused(
    refusal('already_decided', `${last.display_name} ${verb} this at ${last.decided_at.toISOString()}.`, {
      decided_by: last.display_name,
      state: row.state,
    }),
  );
}

async function checkVoter(
  store: Store,
  tx: Tx,
  row: StepUpRow,
  requirements: Requirements,
  input: Decide,
  shownSecondsAgo: number,
): Promise<Result<true, Refusal>> {
  const { id } = input.signedIn.person;
  const chain = await loadChain(tx, row);
  const voter = await loadVoter(tx, id);
  const { singleOperator, criticalDwellSeconds } = store.rules;
  if (voter === undefined || !requirements.gates.some((gate) => mayVoteFor(gate, voter, chain, singleOperator))) {
    return refused(refusal('not_an_approver', 'The policy does not name you as an approver of this call.'));
  }
  const voted = await tx
    .selectFrom('decisions')
    .select('decision')
    .where('step_up_id', '=', row.id)
    .where('revision', '=', row.revision)
    .where('person_id', '=', id)
    .executeTakeFirst();
  if (voted !== undefined) {
    return refused(refusal('already_decided', 'You decided this already; it waits for others.'));
  }
  if (input.decision === 'approve' && needsPasskey(requirements, id, chain, singleOperator)) {
    if (!input.confirmation?.amr.includes('user')) {
      return refused(refusal('passkey_required', 'Approving this needs your passkey.'));
    }
  }
  if (input.decision === 'approve' && requirements.tier === 'critical' && shownSecondsAgo < criticalDwellSeconds) {
    return refused(
      refusal(
        'decided_too_fast',
        `A critical call can be approved ${criticalDwellSeconds} seconds after it was shown.`,
      ),
    );
  }
  return accepted(true);
}

interface Cast {
  readonly row: StepUpRow;
  readonly requirements: Requirements;
  readonly input: Decide;
  readonly reason: string | null;
  readonly viewDigest: string;
}

async function castVote(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { row, requirements, input, reason, viewDigest }: Cast,
): Promise<Result<{ state: StepUpState }, Refusal>> {
  const { person, amr } = input.signedIn;
  const decisionId = newId('dec');
  await tx
    .insertInto('decisions')
    .values({
      id: decisionId,
      step_up_id: row.id,
      revision: row.revision,
      person_id: person.id,
      decision: input.decision,
      binding_digest: row.binding_digest,
      view_digest: viewDigest,
      reason,
      amr: JSON.stringify(input.confirmation?.amr ?? amr),
    })
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'decision.made',
    ids: {
      decision: decisionId,
      step_up: row.id,
      person: person.id,
      verdict: input.decision,
      binding_digest: row.binding_digest,
      view_digest: viewDigest,
    },
    ...(reason === null ? {} : { personal: { reason } }),
  });
  const chain = await loadChain(tx, row);
  const result = tally(requirements, await loadVotes(tx, row), chain, store.rules.singleOperator);
  if (result.state === 'open') {
    afterCommit(() => wakeStepUp(store, row.id));
    return accepted({ state: 'open' as const });
  }
  const decided = await tx
    .updateTable('step_ups')
    .set({ state: result.state, reason, decided_at: sql<Date>`clock_timestamp()` })
    .where('id', '=', row.id)
    .returningAll()
    .returning(budgetedTasks.as('budgeted_tasks'))
    .executeTakeFirstOrThrow();
  const taskIds = result.state === 'approved' ? decided.budgeted_tasks : null;
  const lacking = taskIds === null ? null : await spend(tx, taskIds, [{ what: ELEVATED_GRANTS, amount: '1' }]);
  if (lacking !== null) return withdrawApproved(store, tx, afterCommit, row, lacking);
  await append(store, tx, afterCommit, {
    kind: `step_up.${result.state}`,
    ids: { step_up: row.id, task: row.task_id },
  });
  await enqueue(store, tx, afterCommit, { kind: 'step_up.decided', stepUpId: row.id });
  if (result.state === 'approved') await makeGrant(store, tx, afterCommit, decided, requirements, result.gates);
  afterCommit(() => wakeStepUp(store, row.id));
  return accepted({ state: result.state });
}

/** The tasks above the step-up, if one of them may have so many grants and no more; else null. */
const budgetedTasks = sql<string[] | null>`(select d.task_chain from delegations d
  where d.id = step_ups.delegation_id and exists (select 1 from task_budgets b
    where b.task_id = any(d.task_chain) and b.what = ${ELEVATED_GRANTS}))`;

/** Approved, but other calls of the task were approved before it, and no more may be. The decision stands in the audit. */
async function withdrawApproved(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  row: StepUpRow,
  lacking: string,
): Promise<Result<{ state: StepUpState }, Refusal>> {
  const reason = budgetUsedUp(lacking).message;
  await tx.updateTable('step_ups').set({ state: 'withdrawn', reason }).where('id', '=', row.id).execute();
  await append(store, tx, afterCommit, {
    kind: 'task.budget_used_up',
    ids: {
      step_up: row.id,
      task: row.task_id,
      agent: row.agent_id,
      requester: row.requester_id,
      tool_server: row.tool_server_id,
      name: row.tool_name,
      budget: lacking,
    },
  });
  await append(store, tx, afterCommit, { kind: 'step_up.withdrawn', ids: { step_up: row.id, task: row.task_id } });
  await enqueue(store, tx, afterCommit, { kind: 'step_up.decided', stepUpId: row.id });
  afterCommit(() => wakeStepUp(store, row.id));
  return accepted({ state: 'withdrawn' });
}

async function makeGrant(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  row: StepUpRow,
  requirements: Requirements,
  gates: readonly string[],
): Promise<void> {
  const grant = await tx
    .insertInto('grants')
    .values({
      id: newId('gra'),
      step_up_id: row.id,
      binding_digest: row.binding_digest,
      gates: JSON.stringify(gates),
      max_uses: requirements.max_uses,
      expires_at: sql<Date>`least(clock_timestamp() + make_interval(secs => ${requirements.ttl_seconds}),
        (select expires_at from tasks where id = ${row.task_id}))`,
      revoked_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await append(store, tx, afterCommit, {
    kind: 'grant.made',
    ids: {
      grant: grant.id,
      step_up: row.id,
      binding_digest: row.binding_digest,
      max_uses: grant.max_uses,
      expires_at: grant.expires_at.toISOString(),
    },
  });
  afterCommit(() => cacheApproved(store, row, grant.expires_at));
}
