import { z } from 'zod';
import { REFUSAL_META, REPLAYED_META, STEP_UP_META, stepUpMetaSchema } from '../wire/result_meta.ts';

const refusalSchema = z.object({
  error: z.string(),
  error_description: z.string(),
  next: z.string(),
  detail: z.record(z.string(), z.unknown()).optional(),
});
const replayedSchema = z.object({ redeemed_at: z.string(), outcome: z.enum(['done', 'failed', 'unknown']) });

/** What a guard says of a call, beside its result. */
export type GuardVerdict =
  /** Nothing ran yet. A person decides at `approvalUrl`; the same call again goes on from there. */
  | {
      readonly kind: 'waiting';
      readonly stepUpId: string;
      readonly state: string;
      readonly approvalUrl: string;
      readonly expiresAt: Date;
    }
  /** Nothing ran. `code` is a literal such as `step_up_denied`; `message` holds the approver's reason. */
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly message: string;
      readonly next: string;
      readonly detail: Readonly<Record<string, unknown>>;
    }
  /** The same call ran before: this is what it answered then. Nothing ran now. */
  | { readonly kind: 'replayed'; readonly redeemedAt: Date; readonly outcome: 'done' | 'failed' | 'unknown' };

/**
 * Reads what the guard says in a tool result (`_meta`), or in the `data` of a JSON-RPC error. Null for a result that is
 * simply the tool's own.
 *
 * @example
 * ```ts
 * const result = await client.callTool({ name: 'write_file', arguments: { path: 'a.txt', content: 'hello' } });
 * const verdict = readStepUp(result);
 * if (verdict?.kind === 'waiting') console.log(`Ask someone to decide: ${verdict.approvalUrl}`);
 * if (verdict?.kind === 'refused') console.log(`${verdict.code}: ${verdict.message}`);
 * ```
 */
export function readStepUp(result: unknown): GuardVerdict | null {
  const meta = metaOf(result);
  if (meta === null) return null;
  const stepUp = stepUpMetaSchema.safeParse(meta[STEP_UP_META]);
  if (stepUp.success) {
    const { id, state, approval_url: approvalUrl, expires_at: expiresAt } = stepUp.data;
    return { kind: 'waiting', stepUpId: id, state, approvalUrl, expiresAt: new Date(expiresAt) };
  }
  const replayed = replayedSchema.safeParse(meta[REPLAYED_META]);
  if (replayed.success) {
    return { kind: 'replayed', redeemedAt: new Date(replayed.data.redeemed_at), outcome: replayed.data.outcome };
  }
  // A call that was refused before anything was decided about it carries the refusal itself as the error's data.
  const refused = refusalSchema.safeParse(meta[REFUSAL_META] ?? meta);
  if (!refused.success) return null;
  const { error, error_description: message, next, detail } = refused.data;
  return { kind: 'refused', code: error, message, next, detail: detail ?? {} };
}

function metaOf(value: unknown): Record<string, unknown> | null {
  if (!isObject(value)) return null;
  if (isObject(value._meta)) return value._meta;
  return isObject(value.data) ? value.data : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
