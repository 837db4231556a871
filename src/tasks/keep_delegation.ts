import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result } from '../kernel/result.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { type DelegationRefusal, refuseDelegation } from './delegation_refusal.ts';
import { contentDigest, type DelegationContent } from './judge_delegation.ts';
import { DELEGATIONS_PER_TASK_MAX, POLICIES_NAMED_MAX } from './limits.ts';
import type { CallChain } from './principal.ts';

export interface NewDelegation {
  /** Of the delegation above, locked and found alive in this transaction. */
  readonly chain: CallChain;
  readonly agentId: string;
  /** Another agent than the one above. */
  readonly isHop: boolean;
  readonly content: DelegationContent;
  readonly seconds: number | undefined;
  readonly event: {
    readonly tool_server: string;
    readonly token: string;
    readonly by: string;
    readonly by_kind: string;
    readonly policy_version: string | null;
    readonly policies: readonly string[];
  };
}

export interface KeptDelegation {
  readonly delegationId: string;
  readonly isNew: boolean;
}

/**
 * The live delegation of exactly this content to this agent from there, or a new one with its event. Renewing a token thus
 * neither makes another delegation nor moves the end of this one.
 */
export async function keepDelegation(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  made: NewDelegation,
): Promise<Result<KeptDelegation, DelegationRefusal>> {
  const digest = contentDigest(made.content, made.seconds);
  const known = (await findSame(tx, made, digest)) ?? (await findSameAlone(tx, made, digest));
  if (known !== undefined) {
    await assureDurable(tx);
    return accepted({ delegationId: known, isNew: false });
  }
  const room = await checkRoom(tx, made.chain);
  if (!room.ok) return room;
  const { delegationId, expiresAt } = await insert(tx, made, digest);
  await append(store, tx, afterCommit, {
    kind: 'delegation.made',
    ids: eventIds(made, delegationId, expiresAt),
  });
  return accepted({ delegationId, isNew: true });
}

async function findSame(tx: Tx, { chain, agentId }: NewDelegation, digest: string): Promise<string | undefined> {
  const row = await tx
    .selectFrom('delegations')
    .select('id')
    .where('parent_id', '=', chain.principal.delegation)
    .where('task_id', '=', chain.task.id)
    .where('agent_id', '=', agentId)
    .where('content_digest', '=', digest)
    .where('revoked_at', 'is', null)
    .where(sql<boolean>`coalesce(expires_at > clock_timestamp(), true)`)
    .orderBy('created_at')
    .limit(1)
    .executeTakeFirst();
  return row?.id;
}

/** Once more when nobody else makes one below this root task: of many that ask at once, one makes it and the others find it. */
async function findSameAlone(tx: Tx, made: NewDelegation, digest: string): Promise<string | undefined> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`delegate:${made.chain.task.root_id}`}, 0))`.execute(tx);
  return findSame(tx, made, digest);
}

async function checkRoom(tx: Tx, { task }: CallChain): Promise<Result<true, DelegationRefusal>> {
  const { live } = await tx
    .selectFrom('delegations')
    .select(tx.fn.countAll<number>().as('live'))
    .where(sql<boolean>`task_chain @> array[${task.root_id}]::text[]`)
    .where('kind', '=', 'exchange')
    .where('revoked_at', 'is', null)
    .where(sql<boolean>`coalesce(expires_at > clock_timestamp(), true)`)
    .executeTakeFirstOrThrow();
  return live < DELEGATIONS_PER_TASK_MAX
    ? accepted(true)
    : refuseDelegation('too_many', `${live} delegations of this task are alive. Ask for the same ones again instead.`);
}

async function insert(tx: Tx, { chain, agentId, isHop, content, seconds }: NewDelegation, digest: string) {
  const id = newId('dlg');
  const { lineage, principal } = chain;
  const agents = isHop ? [...lineage.agent_ids, agentId] : [...lineage.agent_ids];
  // No later than the one above; the ends of tasks and agents are compared where it is used. `least` passes over null.
  const end = sql<Date | null>`(select least(p.expires_at, clock_timestamp() + make_interval(secs => ${seconds ?? null}::int))
    from delegations p where p.id = ${principal.delegation})`;
  const { expires_at } = await tx
    .insertInto('delegations')
    .values({
      id,
      task_id: principal.task,
      parent_id: principal.delegation,
      agent_id: agentId,
      depth: agents.length - 1,
      kind: 'exchange',
      agent_chain: agents,
      task_chain: [...lineage.task_ids],
      delegation_chain: [...lineage.delegation_ids, id],
      tools: JSON.stringify(content.tools),
      constraints: content.constraints.length === 0 ? null : JSON.stringify(content.constraints),
      expires_at: end,
      content_digest: digest,
      revoked_at: null,
    })
    .returning('expires_at')
    .executeTakeFirstOrThrow();
  return { delegationId: id, expiresAt: expires_at };
}

function eventIds({ chain, agentId, isHop, content, event }: NewDelegation, delegationId: string, end: Date | null) {
  const { policies, ...more } = event;
  return {
    delegation: delegationId,
    parent: chain.principal.delegation,
    task: chain.task.id,
    root: chain.task.root_id,
    agent: agentId,
    from_agent: chain.agent.id,
    requester: chain.principal.requester,
    depth: isHop ? chain.lineage.agent_ids.length : chain.lineage.agent_ids.length - 1,
    tool_servers: Object.keys(content.tools).length,
    tools: Object.values(content.tools).reduce((sum, names) => sum + names.length, 0),
    constraints: content.constraints.length,
    expires_at: end?.toISOString() ?? null,
    ...more,
    policies: policies.slice(0, POLICIES_NAMED_MAX).join(' '),
  };
}
