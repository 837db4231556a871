import { type Selectable, sql } from 'kysely';
import { groupsOf } from '../approvals/groups.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Requirements } from '../model/requirements.ts';
import type { GrantsTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/** A grant with what was decided on it, and what its voters are now. */
export interface RedeemableGrant extends Selectable<GrantsTable> {
  readonly requirements: Requirements;
  readonly votes: readonly {
    readonly id: string;
    readonly state: string;
    readonly is_administrator: boolean;
    readonly groups: readonly string[];
    /** Another one whenever the person, or a membership of theirs, changed. */
    readonly version: string;
    readonly decision: 'approve' | 'deny';
  }[];
  /** When all of this was so, by the clock of PostgreSQL. */
  readonly read_at: Date;
}

/** The live grant of a binding, or why there is none. Nothing is locked: `useGrant` compares everything again. */
export async function findRedeemableGrant(
  { db }: Pick<Store, 'db'>,
  bindingDigest: string,
): Promise<Result<RedeemableGrant, Refusal>> {
  const { rows: grants } = await sql<RedeemableGrant & { readonly is_running: boolean }>`select g.*, s.requirements,
      g.expires_at > clock_timestamp() as is_running, clock_timestamp() as read_at,
      (select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'state', p.state,
          'is_administrator', p.is_administrator, 'groups', ${groupsOf(sql`p.id`)},
          'version', extract(epoch from p.updated_at)::text, 'decision', d.decision)), '[]')
        from decisions d join people p on p.id = d.person_id
        where d.step_up_id = s.id and d.revision = s.revision and d.voided_at is null) as votes
    from grants g join step_ups s on s.id = g.step_up_id
    where g.binding_digest = ${bindingDigest}
    order by g.created_at desc`.execute(db);
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
