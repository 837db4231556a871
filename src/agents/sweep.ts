import { sql } from 'kysely';
import { append } from '../events/append.ts';
import type { Result } from '../kernel/result.ts';
import { type Sweep, startSweep } from '../kernel/sweep.ts';
import { actingIds, BY_SERVER } from '../model/acting.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import type { Refusal } from '../wire/refusals.ts';
import { refuseAgent } from './approve.ts';
import { AGENT_SWEEP_BATCH_MAX, AGENT_SWEEP_MS, KEY_WARNING_SHARE } from './limits.ts';

/** What ends the work of agents lies in a layer above; whoever starts the sweep hands it in. */
export interface AgentEndings {
  readonly suspend: (agentId: string, reason: string) => Promise<Result<unknown, Refusal>>;
  readonly offboard: (agentId: string, reason: string) => Promise<Result<unknown, Refusal>>;
}

const KEYS_DUE = sql<Date>`a.key_changed_at + make_interval(days => a.key_days)`;
/** Agents whose keys are listed here; of others nobody knows how old their keys are. */
const HAS_LISTED_KEYS = sql<boolean>`exists (select 1 from oauth_clients c where c.client_id = a.client_id
  and jsonb_array_length(coalesce(c.metadata->'jwks'->'keys', '[]')) > 0)`;

/**
 * Keeps the deadlines of agents: warns when four fifths of the time for changing keys have passed and suspends when all of it
 * has, offboards who has come to its end, and says whose review is overdue. Every process sweeps; each step is done once.
 */
export async function sweepAgents(store: Store, endings: AgentEndings): Promise<void> {
  await warnOfKeys(store);
  await warnOfReviews(store);
  for (const { id, due_at } of await keysOverdue(store)) {
    const reason = `Its keys were to be changed by ${due_at.toISOString()}, and were not.`;
    const suspended = await endings.suspend(id, reason);
    if (suspended.ok)
      store.log.warn({ agent: id, due_at }, 'an agent was suspended: it did not change its keys in time');
  }
  for (const { id, state, ends_at } of await ended(store)) {
    const reason = `It was to end at ${ends_at!.toISOString()}.`;
    if (state === 'pending') await refuseAgent(store, { agentId: id, by: BY_SERVER, reason });
    else if ((await endings.offboard(id, reason)).ok) {
      store.log.info({ agent: id, ends_at }, 'an agent was offboarded: it has come to its end');
    }
  }
}

async function warnOfKeys(store: Store): Promise<void> {
  await transactRepeatably(store, async (tx, afterCommit) => {
    const { rows } = await sql<{ id: string; due_at: Date }>`with due as (
        select a.id, ${KEYS_DUE} as due_at from agents a
        where a.state = 'active' and a.key_days is not null and a.key_warned_at is null and ${HAS_LISTED_KEYS}
          and clock_timestamp() >= a.key_changed_at + make_interval(secs => a.key_days * 86400 * ${KEY_WARNING_SHARE}::float8)
        order by a.id limit ${AGENT_SWEEP_BATCH_MAX} for no key update of a skip locked
      )
      update agents set key_warned_at = clock_timestamp() from due where agents.id = due.id
      returning agents.id, due.due_at`.execute(tx);
    for (const { id, due_at } of rows) {
      await append(store, tx, afterCommit, {
        kind: 'agent.keys_due',
        ids: { agent: id, due_at: due_at.toISOString(), ...actingIds(BY_SERVER) },
      });
      afterCommit(() => store.log.warn({ agent: id, due_at }, 'an agent must change its keys, or is suspended then'));
    }
  });
}

async function warnOfReviews(store: Store): Promise<void> {
  await transactRepeatably(store, async (tx, afterCommit) => {
    const { rows } = await sql<{ id: string; due_at: Date }>`with due as (
        select id, reviewed_at + make_interval(days => review_days) as due_at from agents
        where state in ('active', 'suspended') and review_days is not null and review_warned_at is null
          and clock_timestamp() >= reviewed_at + make_interval(days => review_days)
        order by id limit ${AGENT_SWEEP_BATCH_MAX} for no key update skip locked
      )
      update agents set review_warned_at = clock_timestamp() from due where agents.id = due.id
      returning agents.id, due.due_at`.execute(tx);
    for (const { id, due_at } of rows) {
      await append(store, tx, afterCommit, {
        kind: 'agent.review_due',
        ids: { agent: id, due_at: due_at.toISOString(), ...actingIds(BY_SERVER) },
      });
      afterCommit(() => store.log.warn({ agent: id, due_at }, 'what an agent was given must be reviewed again'));
    }
  });
}

async function keysOverdue(store: Store): Promise<{ id: string; due_at: Date }[]> {
  const { rows } = await sql<{ id: string; due_at: Date }>`select a.id, ${KEYS_DUE} as due_at from agents a
    where a.state = 'active' and a.key_days is not null and ${HAS_LISTED_KEYS} and clock_timestamp() >= ${KEYS_DUE}
    order by a.id limit ${AGENT_SWEEP_BATCH_MAX}`.execute(store.db);
  return rows;
}

async function ended(store: Store) {
  return store.db
    .selectFrom('agents')
    .select(['id', 'state', 'ends_at'])
    .where('state', '!=', 'offboarded')
    .where('ends_at', '<=', sql<Date>`clock_timestamp()`)
    .orderBy('id')
    .limit(AGENT_SWEEP_BATCH_MAX)
    .execute();
}

/** Sweeps until stopped. Ends hold without it, since every reader compares the time; deadlines for keys are at most a sweep late. */
export function startAgentSweep(store: Store, endings: AgentEndings): Sweep {
  return startSweep(
    AGENT_SWEEP_MS,
    () => sweepAgents(store, endings),
    (error) => store.log.error({ err: error }, 'keeping the deadlines of agents failed; the sweep goes on'),
  );
}
