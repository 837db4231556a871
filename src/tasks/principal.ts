import { sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import type { AccessTokenClaims } from '../wire/claims.ts';
import type { Principal } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/** Who calls, for whom, within which task: from the token's pointers and our own records (design §3). */
export interface CallChain {
  readonly principal: Principal;
  readonly agent: { readonly id: string; readonly name: string; readonly kind: 'interactive' | 'service' };
  readonly owner: { readonly id: string; readonly is_administrator: boolean };
  readonly requester: { readonly id: string; readonly is_administrator: boolean };
  readonly task: {
    readonly id: string;
    readonly purpose_code: string;
    readonly tools: ToolSelection;
    readonly depth: number;
  };
  readonly amr: readonly string[];
  /** When all of this was so, by the clock of PostgreSQL. */
  readonly readAt: Date;
}

/** Reads the chain of a verified token in one query and refuses if any part of it has ended. */
export async function loadCallChain(store: Store, claims: AccessTokenClaims): Promise<Result<CallChain, Refusal>> {
  const row = await store.db
    .selectFrom('tasks as t')
    .innerJoin('agents as a', 'a.id', 't.agent_id')
    .innerJoin('people as r', 'r.id', 't.requester_id')
    .innerJoin('people as o', 'o.id', 'a.owner_id')
    .innerJoin('delegations as d', (join) => join.onRef('d.task_id', '=', 't.id').onRef('d.agent_id', '=', 'a.id'))
    .leftJoin('revoked_tokens as x', (join) => join.on('x.jti', '=', claims.jti))
    .select(['t.id as task_id', 't.client_id', 't.state as task_state', 't.purpose_code', 't.tools', 't.root_id'])
    .select(sql<boolean>`t.expires_at > clock_timestamp()`.as('is_task_running'))
    .select(sql<Date>`clock_timestamp()`.as('read_at'))
    .select(['a.id as agent_id', 'a.name', 'a.kind', 'a.state as agent_state', 'a.client_id as agent_client'])
    .select(['r.id as requester_id', 'r.state as requester_state', 'r.is_administrator as requester_is_admin'])
    .select(['o.id as owner_id', 'o.state as owner_state', 'o.is_administrator as owner_is_admin'])
    .select(['d.id as delegation_id', 'd.depth', 'd.revoked_at', 'x.jti as revoked_jti'])
    .where('t.id', '=', claims.task.id)
    .orderBy('d.depth', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return refused(refusal('token_invalid', 'The token names a task that does not exist.'));
  if (row.client_id !== claims.client_id || row.requester_id !== claims.sub || claims.act?.sub !== row.agent_id) {
    return refused(refusal('token_invalid', 'The token does not belong to the task it names.'));
  }
  if (row.revoked_jti !== null) return refused(refusal('token_invalid', 'The access token was revoked.'));
  if (row.task_state !== 'active' || !row.is_task_running || row.revoked_at !== null) {
    return refused(refusal('task_ended', 'The task has ended, and its tokens with it.'));
  }
  if (row.agent_state !== 'active') return refused(refusal('agent_inactive', 'The agent is not active.'));
  if (row.requester_state !== 'active' || row.owner_state !== 'active') {
    return refused(refusal('person_inactive', 'The person this agent acts for, or its owner, is not active.'));
  }
  return accepted({
    principal: {
      requester: row.requester_id,
      agent: row.agent_id,
      task: row.task_id,
      delegation: row.delegation_id,
      client_id: row.client_id,
    },
    agent: { id: row.agent_id, name: row.name, kind: row.kind },
    owner: { id: row.owner_id, is_administrator: row.owner_is_admin },
    requester: { id: row.requester_id, is_administrator: row.requester_is_admin },
    task: { id: row.task_id, purpose_code: row.purpose_code, tools: row.tools, depth: row.depth },
    amr: claims.amr ?? [],
    readAt: row.read_at,
  });
}
