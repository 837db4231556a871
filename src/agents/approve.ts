import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { type Actor, isAdministrator, lockActor, lockAgent, mayGovern, noSuchAgent } from './lock_agent.ts';
import { checkAccountable } from './ownership.ts';

/**
 * An administrator approves a proposed agent, as it was proposed: never who proposed it, nor who made the API token that did.
 * In single-operator mode the one administrator may, and the log says so.
 */
export async function approveAgent(
  store: Store,
  input: { readonly agentId: string; readonly by: string },
): Promise<Result<Agent, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const seen = await tx
      .selectFrom('agents')
      .select(['owner_id', 'deputy_id'])
      .where('id', '=', input.agentId)
      .executeTakeFirst();
    if (seen === undefined) return refused(noSuchAgent());
    const by = { kind: 'person', id: input.by } as const;
    const actor = await lockActor(tx, by, [seen.owner_id, seen.deputy_id]);
    const locked = await lockAgent(tx, input.agentId);
    if (!locked.ok) return locked;
    const agent = locked.value;
    const may = mayApprove(actor, agent.proposed_by, store.rules.singleOperator);
    if (!may.ok) return may;
    if (agent.state !== 'pending') {
      return refused(refusal('conflict', `The agent is ${agent.state} already. Nothing was changed.`));
    }
    if (agent.owner_id !== seen.owner_id || agent.deputy_id !== seen.deputy_id) {
      return refused(refusal('conflict', 'The agent got another owner in this moment. Nothing was changed.'));
    }
    const accountable = checkAccountable(
      actor,
      { ownerId: agent.owner_id, deputyId: agent.deputy_id },
      store.rules.singleOperator,
    );
    if (!accountable.ok) return refused(refusal('conflict', `${accountable.refusal.message} Nothing was changed.`));
    return accepted(await activate(store, tx, afterCommit, agent, actor));
  });
}

/** Two people for whatever gives an agent more: who asks, and an administrator who is somebody else. */
export function mayApprove(actor: Actor, askedBy: string | null, singleOperator: boolean): Result<true, Refusal> {
  if (!isAdministrator(actor)) {
    return refused(refusal('not_allowed', 'Only an administrator approves this. Nothing was changed.'));
  }
  if (actor.personId === askedBy && !singleOperator) {
    return refused(
      refusal(
        'not_allowed',
        'You asked for this yourself: another administrator must approve it. Nothing was changed.',
      ),
    );
  }
  return accepted(true);
}

/** In a transaction that holds the agent. */
export async function activate(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  agent: Agent,
  actor: Actor,
): Promise<Agent> {
  const now = sql<Date>`clock_timestamp()`;
  const active = await tx
    .updateTable('agents')
    .set({ state: 'active', approved_by: actor.personId, approved_at: now, state_changed_at: now, reviewed_at: now })
    .where('id', '=', agent.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await append(store, tx, afterCommit, {
    kind: 'agent.activated',
    ids: {
      agent: agent.id,
      ...actingIds(actor.by),
      proposed_by: agent.proposed_by,
      // Who holds a token of the command line is not known: it may be who approves.
      people: agent.proposed_by === null || agent.proposed_by === actor.personId ? 1 : 2,
    },
  });
  return active;
}

/** A proposal is refused by an administrator, or taken back by who made it or would answer for it. Nothing comes back from it. */
export async function refuseAgent(
  store: Store,
  input: { readonly agentId: string; readonly by: Acting; readonly reason: string },
): Promise<Result<Agent, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const actor = await lockActor(tx, input.by, []);
    const locked = await lockAgent(tx, input.agentId);
    if (!locked.ok) return locked;
    const agent = locked.value;
    const isOwn = actor.personId !== null && actor.personId === agent.proposed_by;
    if (!isOwn && !mayGovern(actor, agent)) return refused(noSuchAgent());
    if (agent.state !== 'pending') {
      return refused(refusal('conflict', `The agent is ${agent.state} already. Nothing was changed.`));
    }
    const ended = await tx
      .updateTable('agents')
      .set({ state: 'offboarded', state_reason: input.reason, state_changed_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', agent.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'agent.offboarded',
      ids: { agent: agent.id, ...actingIds(input.by), how: 'never_approved' },
      personal: { reason: input.reason },
    });
    return accepted(ended);
  });
}
