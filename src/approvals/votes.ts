import { sql } from 'kysely';
import type { Vote } from '../model/step_up.ts';
import type { Tx } from '../store/store.ts';
import { groupsOf } from './groups.ts';
import type { StepUpRow } from './status.ts';

/** Every vote on this revision that was not voided, with the eligibility its voter has now. */
export async function loadVotes(tx: Tx, row: Pick<StepUpRow, 'id' | 'revision'>): Promise<Vote[]> {
  const rows = await tx
    .selectFrom('decisions')
    .innerJoin('people', 'people.id', 'decisions.person_id')
    .select(['people.id', 'people.state', 'people.is_administrator', 'decisions.decision'])
    .select(groupsOf(sql`people.id`).as('groups'))
    .where('step_up_id', '=', row.id)
    .where('revision', '=', row.revision)
    .where('voided_at', 'is', null)
    .execute();
  return rows.map(({ id, state, is_administrator, groups, decision }) => ({
    voter: { id, isActive: state === 'active', isAdministrator: is_administrator, groups },
    decision,
  }));
}
