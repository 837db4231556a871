import { sql } from 'kysely';
import { groupsOf } from '../approvals/groups.ts';
import { type Lineage, lineageColumns, lineageTables } from '../approvals/lineage.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { type AccessTokenClaims, actors } from '../wire/claims.ts';
import type { BoundConstraint } from '../wire/constraints.ts';
import type { Principal } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { isOfBefore } from './issued_before.ts';
import { narrowest } from './narrow.ts';

/** Who calls, for whom, within which task: from the token's pointers and our own records (design §3). */
export interface CallChain {
  readonly principal: Principal;
  readonly agent: ChainAgent;
  readonly owner: ChainPerson;
  readonly requester: ChainPerson;
  readonly task: {
    readonly id: string;
    readonly root_id: string;
    readonly purpose_code: string;
    /** What is left of the task's tools by this hop, those above it, and the bounds of their agents now. */
    readonly tools: ToolSelection;
    readonly depth: number;
    /** What its budget, or one above it, counts (`model/budget.ts`); fixed when the tasks started. */
    readonly budgeted: readonly string[];
    /** A person chose the purpose code of the root task: at consent, or with the template it was started from. */
    readonly is_purpose_chosen: boolean;
  };
  readonly constraints: readonly BoundConstraint[];
  readonly lineage: Lineage;
  readonly amr: readonly string[];
  /** Where an agent acts at the token's audience: both were made peers of each other. True where none acts. */
  readonly isPeer: boolean;
  /** The thumbprint of the key that the token is bound to; null for a bearer token. */
  readonly jkt: string | null;
  /** When all of this was so, by the clock of PostgreSQL. */
  readonly readAt: Date;
}

interface ChainPerson {
  readonly id: string;
  readonly is_administrator: boolean;
  /** Names and ids of their groups. */
  readonly groups: readonly string[];
}

export interface ChainAgent {
  readonly id: string;
  readonly name: string;
  readonly kind: 'interactive' | 'service';
  readonly trust_zone: string;
  /** It, or an agent that it acts for, has tokens bound to keys only. */
  readonly dpop_required: boolean;
}

interface ChainRow extends Lineage {
  readonly task_id: string;
  readonly root_id: string;
  readonly purpose_code: string;
  readonly task_tools: ToolSelection;
  readonly delegation_id: string;
  readonly depth: number;
  readonly delegated_tools: ToolSelection | null;
  readonly constraints: readonly BoundConstraint[] | null;
  readonly agent_id: string;
  readonly name: string;
  readonly kind: 'interactive' | 'service';
  readonly trust_zone: string;
  readonly dpop_required: boolean;
  readonly client_id: string;
  readonly owner_id: string;
  readonly owner_is_admin: boolean;
  readonly requester_is_admin: boolean;
  readonly owner_groups: readonly string[];
  readonly requester_groups: readonly string[];
  readonly bounds: readonly (ToolSelection | null)[];
  readonly budgeted: readonly string[];
  readonly is_purpose_chosen: boolean;
  readonly is_peer: boolean;
  readonly is_revoked: boolean;
  /** An agent of the chain was suspended since the token was issued, and is active again. */
  readonly is_of_before: boolean;
  readonly agents_alive: boolean;
  readonly people_active: boolean;
  readonly is_running: boolean;
  readonly read_at: Date;
}

/** Reads the chain of a verified token in one query and refuses if any part of it has ended. */
export async function loadCallChain(store: Store, claims: AccessTokenClaims): Promise<Result<CallChain, Refusal>> {
  const row = await readRow(store, claims);
  if (row === undefined) return refused(refusal('token_invalid', 'The token names a task that does not exist.'));
  if (!belongs(row, claims)) {
    return refused(refusal('token_invalid', 'The token does not belong to the task it names.'));
  }
  if (row.is_revoked) return refused(refusal('token_invalid', 'The access token was revoked.'));
  if (!row.is_running) return refused(refusal('task_ended', 'The task has ended, and its tokens with it.'));
  if (!row.agents_alive) {
    return refused(refusal('agent_inactive', 'The agent, or one that it acts for, is not active.'));
  }
  if (row.is_of_before) {
    return refused(
      refusal('token_invalid', 'The agent, or one that it acts for, was suspended after the token was issued.'),
    );
  }
  if (!row.people_active) {
    return refused(refusal('person_inactive', 'The person this agent acts for, or its owner, is not active.'));
  }
  const { requester_id, agent_ids, owner_ids, task_ids, delegation_ids, accountable_ids, key_holder_ids } = row;
  return accepted({
    principal: {
      requester: requester_id,
      agent: row.agent_id,
      task: row.task_id,
      delegation: row.delegation_id,
      client_id: row.client_id,
    },
    agent: {
      id: row.agent_id,
      name: row.name,
      kind: row.kind,
      trust_zone: row.trust_zone,
      dpop_required: row.dpop_required,
    },
    owner: { id: row.owner_id, is_administrator: row.owner_is_admin, groups: row.owner_groups },
    requester: { id: requester_id, is_administrator: row.requester_is_admin, groups: row.requester_groups },
    task: {
      id: row.task_id,
      root_id: row.root_id,
      purpose_code: row.purpose_code,
      tools: narrowest(row.task_tools, [row.delegated_tools, ...row.bounds]),
      depth: row.depth,
      budgeted: row.budgeted,
      is_purpose_chosen: row.is_purpose_chosen,
    },
    constraints: row.constraints ?? [],
    lineage: { requester_id, agent_ids, owner_ids, task_ids, delegation_ids, accountable_ids, key_holder_ids },
    amr: claims.amr ?? [],
    isPeer: row.is_peer,
    jkt: claims.cnf?.jkt ?? null,
    readAt: row.read_at,
  });
}

/** The token's pointers name records; who is in them is what the records say. */
function belongs(row: ChainRow, claims: AccessTokenClaims): boolean {
  const acting = actors(claims.act).map((actor) => actor.sub);
  return (
    row.client_id === claims.client_id &&
    row.requester_id === claims.sub &&
    row.root_id === claims.task.root &&
    acting.length === row.agent_ids.length &&
    acting.every((id, index) => id === row.agent_ids[row.agent_ids.length - 1 - index])
  );
}

async function readRow({ db }: Store, claims: AccessTokenClaims): Promise<ChainRow | undefined> {
  const { id, delegation } = claims.task;
  const which = delegation === undefined ? sql`d.kind = 'root'` : sql`d.id = ${delegation}`;
  const { rows } = await sql<ChainRow>`select t.requester_id, ${lineageColumns},
      t.id as task_id, t.root_id, t.purpose_code, t.tools as task_tools,
      d.id as delegation_id, d.depth, d.tools as delegated_tools, d.constraints,
      a.id as agent_id, a.name, a.kind, a.trust_zone, a.client_id, a.owner_id,
      o.is_administrator as owner_is_admin, r.is_administrator as requester_is_admin,
      ${groupsOf(sql`o.id`)} as owner_groups, ${groupsOf(sql`r.id`)} as requester_groups,
      (select jsonb_agg(x.bound) from agents x where x.id = any(c.agent_ids)) as bounds,
      (select bool_or(x.dpop_required) from agents x where x.id = any(c.agent_ids)) as dpop_required,
      (select coalesce(array_agg(distinct b.what), '{}') from task_budgets b where b.task_id = any(c.task_ids)) as budgeted,
      (select x.template_id is not null or x.oauth_grant_id is not null from tasks x
        where x.id = c.task_ids[1]) as is_purpose_chosen,
      not exists (select 1 from tool_servers s where s.resource = ${claims.aud} and s.state = 'active'
        and s.agent_id <> a.id and 2 > (select count(*) from agent_peers p
          where (p.agent_id = a.id and p.direction = 'to' and p.peer_id = s.agent_id)
            or (p.agent_id = s.agent_id and p.direction = 'from' and p.peer_id = a.id))) as is_peer,
      exists (select 1 from revoked_tokens x where x.jti = ${claims.jti}) as is_revoked,
      exists (select 1 from agents x where x.id = any(c.agent_ids) and ${isOfBefore(sql`x.suspended_at`, claims)})
        as is_of_before,
      not exists (select 1 from agents x where x.id = any(c.agent_ids)
        and (x.state <> 'active' or x.ends_at <= clock_timestamp())) as agents_alive,
      r.state = 'active' and not exists (select 1 from agents x join people p on p.id = x.owner_id
        where x.id = any(c.agent_ids) and p.state <> 'active') as people_active,
      not exists (select 1 from tasks x where x.id = any(c.task_ids)
        and (x.state <> 'active' or x.expires_at <= clock_timestamp()))
      and not exists (select 1 from delegations x where x.id = any(c.delegation_ids)
        and (x.revoked_at is not null or x.expires_at <= clock_timestamp())) as is_running,
      clock_timestamp() as read_at
    from ${lineageTables}
    join agents a on a.id = d.agent_id
    join people o on o.id = a.owner_id
    join people r on r.id = t.requester_id
    where d.task_id = ${id} and ${which}
    limit 1`.execute(db);
  return rows[0];
}
