import { loadLineage } from '../../approvals/lineage.ts';
import { revokeLockedGrant } from '../../approvals/withdraw.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Acting } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store, Tx } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { type Ended, NOTHING_ENDED } from './ended.ts';
import { readReason } from './reason.ts';
import { transactRevocation } from './transact_revocation.ts';

export interface RevokeGrant {
  readonly grantId: string;
  readonly by: Acting;
  /** For people to read; may be empty. */
  readonly reason: string;
}

/**
 * Takes back an approval that was not used yet, or has uses left. The task's requester, whoever decided or answers for an
 * agent of the chain, and administrators may; agents may not, theirs is to end the task. A redemption that was first
 * stands; a second revocation changes nothing.
 */
export async function revokeGrant(store: Store, input: RevokeGrant): Promise<Result<Ended, Refusal>> {
  const reason = readReason(input.reason);
  if (!reason.ok) return reason;
  return transactRevocation(store, async (tx, afterCommit) => {
    // The row alone: a redemption compares it last, so one of the two is first.
    const grant = await tx
      .selectFrom('grants')
      .innerJoin('step_ups', 'step_ups.id', 'grants.step_up_id')
      .select(['grants.id', 'grants.step_up_id', 'grants.uses', 'grants.max_uses', 'grants.revoked_at'])
      .select('step_ups.delegation_id')
      .where('grants.id', '=', input.grantId)
      .forUpdate('grants')
      .executeTakeFirst();
    if (grant === undefined || !(await mayRevoke(tx, input.by, grant))) {
      return refused(refusal('not_found', 'There is no such grant, or you have no part in it.'));
    }
    if (grant.revoked_at !== null) {
      await assureDurable(tx);
      return accepted(NOTHING_ENDED);
    }
    if (grant.uses >= grant.max_uses) {
      return refused(refusal('conflict', 'The grant was used up before: there is nothing left to revoke.'));
    }
    const { by } = input;
    await revokeLockedGrant(store, tx, afterCommit, {
      id: grant.id,
      stepUpId: grant.step_up_id,
      by,
      said: reason.value,
    });
    return accepted({ ...NOTHING_ENDED, grants: 1 });
  });
}

async function mayRevoke(
  tx: Tx,
  by: Acting,
  grant: { readonly step_up_id: string; readonly delegation_id: string },
): Promise<boolean> {
  if (by.kind === 'api_token' || by.kind === 'server') return true;
  if (by.kind === 'agent') return false;
  const person = await tx
    .selectFrom('people')
    .select('is_administrator')
    .where('id', '=', by.id)
    .where('state', '=', 'active')
    .executeTakeFirst();
  if (person === undefined) return false;
  if (person.is_administrator) return true;
  const lineage = await loadLineage(tx, grant.delegation_id);
  if (lineage?.requester_id === by.id || lineage?.accountable_ids.includes(by.id)) return true;
  const decision = await tx
    .selectFrom('decisions')
    .select('id')
    .where('step_up_id', '=', grant.step_up_id)
    .where('person_id', '=', by.id)
    .executeTakeFirst();
  return decision !== undefined;
}
