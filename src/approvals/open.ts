import type { JWK } from 'jose';
import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import type { StepUpStatus } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { verifyTxnChallenge } from '../wire/txn_challenge_rosomakho_00.ts';
import { enqueue } from './outbox.ts';
import { findStepUp, statusOf, wakeStepUp } from './status.ts';

/**
 * Opens a registered step-up with the transaction challenge its guard signed: from now on people see it. The challenge
 * must carry the canonical `txn` and the digest of the registered action. Handing it in again changes nothing.
 */
export async function openStepUp(
  store: Store,
  input: {
    readonly stepUpId: string;
    readonly toolServer: { readonly id: string; readonly resource: string };
    readonly challenge: string;
    readonly guardKeys: readonly JWK[];
  },
): Promise<Result<StepUpStatus, Refusal>> {
  const known = await findStepUp(store.db, input.stepUpId);
  if (known === undefined || known.tool_server_id !== input.toolServer.id) {
    return refused(refusal('not_found', 'There is no such step-up at this tool server.'));
  }
  const verified = await verifyTxnChallenge(input.challenge, {
    resource: input.toolServer.resource,
    issuer: store.issuer,
    keys: input.guardKeys,
    now: new Date(),
  });
  if (!verified.ok) return verified;
  const detail = verified.value.authorization_details.find((entry) => entry.type === 'mcp_tool_call');
  if (verified.value.txn !== known.txn || detail?.action_digest !== known.action_digest) {
    return refused(refusal('challenge_invalid', 'The challenge was signed for another transaction or another action.'));
  }
  return transactRepeatably(store, async (tx, afterCommit) => {
    const row = await tx
      .updateTable('step_ups')
      .set({ state: 'open', challenge: input.challenge, opened_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', known.id)
      .where('state', '=', 'registered')
      .where('expires_at', '>', sql<Date>`clock_timestamp()`)
      .returningAll()
      .executeTakeFirst();
    if (row === undefined) {
      await assureDurable(tx);
      return accepted(statusOf(store, (await findStepUp(tx, known.id))!));
    }
    await append(store, tx, afterCommit, {
      kind: 'step_up.opened',
      ids: { step_up: row.id, task: row.task_id, agent: row.agent_id, requester: row.requester_id, txn: row.txn },
    });
    await enqueue(store, tx, afterCommit, { kind: 'step_up.opened', stepUpId: row.id });
    afterCommit(() => wakeStepUp(store, row.id));
    return accepted(statusOf(store, row));
  });
}
