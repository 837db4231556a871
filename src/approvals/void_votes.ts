import { sql } from 'kysely';
import { appendAll } from '../events/append_all.ts';
import { canEverBeMet, type Voter } from '../model/eligibility.ts';
import type { Requirements } from '../model/requirements.ts';
import { tally } from '../model/step_up.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { loadActiveVoters } from './chain.ts';
import { chainOf, loadLineages } from './lineage.ts';
import { loadVotes } from './votes.ts';
import { revokeLockedGrants, type Withdrawn, withdrawLocked } from './withdraw.ts';

/** A person who may not decide any more, and what ends with them besides. */
export interface Offboarded {
  readonly personId: string;
  /** In whose step-ups nothing may be decided any more either. */
  readonly delegationIds: readonly string[];
  /** What people read on the requests of these. */
  readonly reason: string;
}

interface LockedStepUp {
  readonly id: string;
  readonly state: 'registered' | 'open' | 'approved';
  readonly revision: number;
  readonly delegation_id: string;
  readonly requirements: Requirements;
  readonly owner_id: string | null;
  readonly is_below: boolean;
}

/**
 * What a person has to do with step-ups ends with them: those of the delegations that end are withdrawn and their grants
 * revoked; their unredeemed approvals are void, also if they come back; a grant that lacks them is revoked; and a request that nobody is left to approve
 * is withdrawn. The caller has disabled the person in this transaction and holds what locks come before step-ups.
 */
export async function voidVotes(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  offboarded: Offboarded,
): Promise<Withdrawn> {
  const stepUps = await lockStepUps(tx, offboarded, store.rules.singleOperator);
  const below = stepUps.filter((row) => row.is_below);
  const others = stepUps.filter((row) => !row.is_below);
  await markVoid(store, tx, afterCommit, offboarded.personId, stepUps);
  const { lacking, hopeless } = await judge(store, tx, others);
  const ended = await withdrawLocked(store, tx, afterCommit, { ids: idsOf(below), reason: offboarded.reason });
  const unmet = await withdrawLocked(store, tx, afterCommit, {
    ids: hopeless,
    reason: 'Nobody is left who may approve this.',
  });
  const { rows: grants } = await sql<{ id: string }>`select id from grants
    where step_up_id = any(${[...idsOf(below), ...lacking]}::text[]) and revoked_at is null and uses < max_uses
    order by id for update`.execute(tx);
  return {
    step_ups: ended + unmet,
    grants: await revokeLockedGrants(store, tx, afterCommit, idsOf(grants)),
  };
}

/** By id, in one statement: what is below, what the person approved, and what they might have been asked for. */
async function lockStepUps(
  tx: Tx,
  { personId, delegationIds }: Offboarded,
  isAskedEverywhere: boolean,
): Promise<LockedStepUp[]> {
  const { rows } =
    await sql<LockedStepUp>`select s.id, s.state, s.revision, s.delegation_id, s.requirements, v.owner_id,
      s.delegation_id = any(${delegationIds}::text[]) as is_below
    from step_ups s join tool_servers v on v.id = s.tool_server_id
    where s.id in (
      select id from step_ups where delegation_id = any(${delegationIds}::text[])
        and (state in ('registered', 'open') or exists (${liveGrant(sql`step_ups.id`)}))
      union
      select d.step_up_id from decisions d
      where d.person_id = ${personId} and d.decision = 'approve' and exists (${liveGrant(sql`d.step_up_id`)})
      union
      select x.id from step_ups x join tool_servers o on o.id = x.tool_server_id
      where x.state in ('registered', 'open') and x.expires_at > now() and (${isAskedEverywhere}::boolean
        or exists (select from jsonb_array_elements(x.requirements->'gates') as gate (of),
            jsonb_array_elements_text(gate.of->'approvers') as approver (name)
          where approver.name in (${`person:${personId}`}, 'administrators') or approver.name like 'group:%'
            or (approver.name = 'owner' and o.owner_id = ${personId})))
    )
    order by s.id for update of s`.execute(tx);
  return rows;
}

function liveGrant(stepUpId: ReturnType<typeof sql>) {
  return sql`select from grants g
    where g.step_up_id = ${stepUpId} and g.revoked_at is null and g.uses < g.max_uses and g.expires_at > now()`;
}

async function markVoid(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  personId: string,
  stepUps: readonly LockedStepUp[],
): Promise<void> {
  const { rows } = await sql<{ id: string; step_up_id: string }>`update decisions set voided_at = clock_timestamp()
    where person_id = ${personId} and step_up_id = any(${idsOf(stepUps)}::text[]) and decision = 'approve'
      and voided_at is null
    returning id, step_up_id`.execute(tx);
  await appendAll(
    store,
    tx,
    afterCommit,
    rows.map((row) => ({
      kind: 'decision.voided',
      ids: { decision: row.id, step_up: row.step_up_id, person: personId },
    })),
  );
}

/** Which approvals do not hold any more, and which requests cannot be approved by anybody. */
async function judge(
  store: Store,
  tx: Tx,
  rows: readonly LockedStepUp[],
): Promise<{ readonly lacking: readonly string[]; readonly hopeless: readonly string[] }> {
  const { singleOperator } = store.rules;
  const lineages = await loadLineages(
    tx,
    rows.map((row) => row.delegation_id),
  );
  const voters = new Map<string, readonly Voter[]>();
  const lacking: string[] = [];
  const hopeless: string[] = [];
  for (const row of rows) {
    const chain = chainOf(lineages.get(row.delegation_id)!, row.owner_id);
    const { gates } = row.requirements;
    if (row.state === 'approved') {
      const { state } = tally(row.requirements, await loadVotes(tx, row), chain, singleOperator);
      if (state !== 'approved') lacking.push(row.id);
      continue;
    }
    // Many requests ask the same people.
    const asked = JSON.stringify([gates.map((gate) => gate.approvers), chain.requesterId, chain.toolServerOwnerId]);
    const known = voters.get(asked) ?? (await loadActiveVoters(tx, gates, chain));
    voters.set(asked, known);
    if (!canEverBeMet(gates, known, chain, singleOperator)) hopeless.push(row.id);
  }
  return { lacking, hopeless };
}

function idsOf(rows: readonly { readonly id: string }[]): string[] {
  return rows.map(({ id }) => id);
}
