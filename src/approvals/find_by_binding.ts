import { sql } from 'kysely';
import type { JsonObject } from '../kernel/json.ts';
import type { Store } from '../store/store.ts';
import { openOutcome } from './sealed_action.ts';
import type { StepUpRow } from './status.ts';

/** Where an action stands for this principal, in the guard's order: denied, executed, approved, open (design §3). */
export type BindingState =
  | { readonly kind: 'none' }
  | { readonly kind: 'denied'; readonly stepUp: StepUpRow }
  | {
      readonly kind: 'executed';
      readonly redeemedAt: Date;
      readonly outcome: 'done' | 'failed' | 'unknown';
      readonly result: JsonObject | null;
    }
  | { readonly kind: 'approved'; readonly stepUp: StepUpRow }
  | { readonly kind: 'undecided'; readonly stepUp: StepUpRow };

/** One query decides by the database's clock; only the newest step-up of a binding can matter. */
export async function findByBinding(store: Store, bindingDigest: string): Promise<BindingState> {
  const { replayWindowSeconds, denialCooldownSeconds } = store.rules;
  const now = sql`clock_timestamp()`;
  const row = await store.db
    .selectFrom('step_ups as s')
    .leftJoin('grants as g', 'g.step_up_id', 's.id')
    .leftJoin('redemptions as r', (join) => join.onRef('r.grant_id', '=', 'g.id').onRef('r.use_no', '=', 'g.uses'))
    .selectAll('s')
    .select(['r.redeemed_at', 'r.outcome', 'r.outcome_sealed'])
    .select([
      sql<boolean>`coalesce(r.redeemed_at > ${now} - make_interval(secs => ${replayWindowSeconds}), false)`.as(
        'is_recent_use',
      ),
      sql<boolean>`coalesce(s.decided_at > ${now} - make_interval(secs => ${denialCooldownSeconds}), false)`.as(
        'is_recent_decision',
      ),
      sql<boolean>`s.expires_at > ${now}`.as('is_running'),
      sql<boolean>`coalesce(g.revoked_at is null and g.expires_at > ${now} and g.uses < g.max_uses, false)`.as(
        'is_grant_live',
      ),
    ])
    .where('s.binding_digest', '=', bindingDigest)
    .orderBy('s.created_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return { kind: 'none' };
  if (row.state === 'denied' && row.is_recent_decision) return { kind: 'denied', stepUp: row };
  if (row.is_recent_use && row.redeemed_at !== null && row.outcome !== null) {
    const sealed = row.outcome_sealed;
    const result =
      sealed !== null && row.data_key_wrapped !== null ? openOutcome(store, row.data_key_wrapped, sealed) : null;
    return { kind: 'executed', redeemedAt: row.redeemed_at, outcome: row.outcome, result };
  }
  if (row.state === 'approved' && row.is_grant_live) return { kind: 'approved', stepUp: row };
  if ((row.state === 'registered' || row.state === 'open') && row.is_running) return { kind: 'undecided', stepUp: row };
  return { kind: 'none' };
}
