import { randomUUID } from 'node:crypto';
import { append } from '../events/append.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { mayApprove } from './approve.ts';
import { checkTerms, keyDaysWithoutKeys } from './check_terms.ts';
import { hasListedKeys } from './keys.ts';
import { TOOLS_IN_EVENT_CHARACTERS_MAX } from './limits.ts';
import { type Actor, lockToGovern, refuseUnlessGoverned } from './lock_agent.ts';
import { type AgentTerms, addedTools, type SomeTerms, splitChange, termColumns, termsOf } from './terms.ts';

/** A change that widens an agent and waits for somebody other than who asked. */
export interface PendingChange {
  readonly id: string;
  readonly by: string;
  readonly by_kind: Acting['kind'];
  /** Who is accountable for asking: of an API token, who made it. */
  readonly person: string | null;
  readonly at: string;
  readonly terms: SomeTerms;
}

export interface Changed {
  readonly agent: Agent;
  /** Names of terms that changed at once, because they only take away. */
  readonly changed: readonly string[];
  /** Names of terms that wait for approval. */
  readonly waiting: readonly string[];
}

export function pendingChangeOf(agent: Agent): PendingChange | null {
  return agent.pending_change as unknown as PendingChange | null;
}

/** Whoever governs an agent takes from it at once, and asks for more. */
export async function changeAgent(
  store: Store,
  input: { readonly agentId: string; readonly terms: SomeTerms; readonly by: Acting },
): Promise<Result<Changed, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const locked = await lockToGovern(tx, input);
    if (!locked.ok) return locked;
    const { agent, actor } = locked.value;
    const governed = refuseUnlessGoverned(agent);
    if (!governed.ok) return governed;
    const fits = await checkTerms(tx, input.terms, agent, new Date());
    if (!fits.ok) return fits;
    if (typeof input.terms.key_days === 'number' && !(await hasListedKeys(tx, agent.client_id))) {
      return refused(keyDaysWithoutKeys());
    }
    const { now, waiting } = splitChange(termsOf(agent), input.terms);
    const asksForMore = Object.keys(waiting).length > 0;
    if (asksForMore && agent.pending_change !== null) {
      const words = 'A change of this agent waits for approval already. Have it approved or take it back first.';
      return refused(refusal('conflict', words));
    }
    const pending = asksForMore ? newPending(actor, waiting) : withoutTerms(pendingChangeOf(agent), now);
    const changed = await writeChange(tx, agent.id, now, pending);
    await recordChange(store, tx, afterCommit, actor, { agent, now });
    if (asksForMore) {
      await append(store, tx, afterCommit, {
        kind: 'agent.change_requested',
        ids: { agent: agent.id, change: pending!.id, terms: namesOf(waiting), ...actingIds(actor.by) },
      });
    }
    return accepted({ agent: changed, changed: Object.keys(now), waiting: Object.keys(waiting) });
  });
}

/** Another administrator lets the waiting change take effect, as it was shown: `changeId` names it. */
export async function approveChange(
  store: Store,
  input: { readonly agentId: string; readonly changeId: string; readonly by: string },
): Promise<Result<Agent, Refusal>> {
  const by = { kind: 'person', id: input.by } as const;
  return transactRepeatably(store, async (tx, afterCommit) => {
    const found = await lockPending(tx, { ...input, by });
    if (!found.ok) return found;
    const { agent, actor, pending } = found.value;
    const may = mayApprove(actor, pending.person, store.rules.singleOperator);
    if (!may.ok) return may;
    const fits = await checkTerms(tx, pending.terms, agent, new Date());
    if (!fits.ok) return fits;
    const changed = await writeChange(tx, agent.id, pending.terms, null);
    await recordChange(store, tx, afterCommit, actor, { agent, now: pending.terms, pending });
    return accepted(changed);
  });
}

/** Whoever governs the agent drops the waiting change; nothing of it takes effect. */
export async function refuseChange(
  store: Store,
  input: { readonly agentId: string; readonly changeId: string; readonly by: Acting },
): Promise<Result<Agent, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const found = await lockPending(tx, input);
    if (!found.ok) return found;
    const { agent, actor, pending } = found.value;
    const changed = await writeChange(tx, agent.id, {}, null);
    await append(store, tx, afterCommit, {
      kind: 'agent.change_refused',
      ids: { agent: agent.id, change: pending.id, ...actingIds(actor.by) },
    });
    return accepted(changed);
  });
}

async function lockPending(
  tx: Tx,
  input: { readonly agentId: string; readonly changeId: string; readonly by: Acting },
): Promise<Result<{ agent: Agent; actor: Actor; pending: PendingChange }, Refusal>> {
  const locked = await lockToGovern(tx, input);
  if (!locked.ok) return locked;
  const { agent, actor } = locked.value;
  const governed = refuseUnlessGoverned(agent);
  if (!governed.ok) return governed;
  const pending = pendingChangeOf(agent);
  return pending?.id === input.changeId
    ? accepted({ agent, actor, pending })
    : refused(
        refusal('page_outdated', 'This change does not wait any more, or is another one now. Nothing was changed.'),
      );
}

function newPending(actor: Actor, terms: SomeTerms): PendingChange {
  return {
    id: randomUUID(),
    by: actor.by.id,
    by_kind: actor.by.kind,
    person: actor.personId,
    at: new Date().toISOString(),
    terms,
  };
}

/** What was taken away meanwhile is not given back by a change that waited before. */
export function withoutTerms(pending: PendingChange | null, taken: SomeTerms): PendingChange | null {
  if (pending === null) return null;
  const left = Object.entries(pending.terms).filter(([name]) => !Object.hasOwn(taken, name));
  return left.length === 0 ? null : { ...pending, terms: Object.fromEntries(left) as SomeTerms };
}

/** In a transaction that holds the agent. */
export async function writeChange(
  tx: Tx,
  agentId: string,
  terms: SomeTerms,
  pending: PendingChange | null,
): Promise<Agent> {
  return tx
    .updateTable('agents')
    .set({
      ...termColumns(terms),
      ...('review_days' in terms ? { review_warned_at: null } : {}),
      ...('key_days' in terms ? { key_warned_at: null } : {}),
      pending_change: pending === null ? null : JSON.stringify(pending),
    })
    .where('id', '=', agentId)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function recordChange(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  actor: Actor,
  change: { readonly agent: Agent; readonly now: SomeTerms; readonly pending?: PendingChange },
): Promise<void> {
  const { agent, now, pending } = change;
  if (Object.keys(now).length === 0) return;
  await append(store, tx, afterCommit, {
    kind: 'agent.changed',
    ids: {
      agent: agent.id,
      terms: namesOf(now),
      ...(pending === undefined ? {} : { change: pending.id, asked_by: pending.by, asked_by_kind: pending.by_kind }),
      ...actingIds(actor.by),
    },
    personal: describeChange(termsOf(agent), now),
  });
}

/** Of the tools only those that came or went, and of very many only how many: an event holds no more. */
function describeChange(before: AgentTerms, now: SomeTerms): JsonObject {
  const { bound, ...others } = now;
  const plain = Object.fromEntries(
    Object.entries(others).map(([name, after]) => [name, { before: before[name as keyof AgentTerms], after }]),
  );
  if (bound === undefined) return plain as JsonObject;
  const added = bound === null ? null : addedTools(before.bound ?? {}, bound);
  const removed = before.bound === null ? null : addedTools(bound ?? {}, before.bound);
  const tools = { added, removed, was_unbounded: before.bound === null, is_unbounded: bound === null };
  const isLong = JSON.stringify(tools).length > TOOLS_IN_EVENT_CHARACTERS_MAX;
  return { ...plain, bound: isLong ? { added: countTools(added), removed: countTools(removed) } : tools } as JsonObject;
}

function countTools(selection: ToolSelection | null): number {
  return Object.values(selection ?? {}).flat().length;
}

function namesOf(terms: SomeTerms): string {
  return Object.keys(terms).sort().join(' ');
}
