import type { Context } from 'koa';
import getRawBody from 'raw-body';
import type { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { parseStrictJson } from '../kernel/strict_json.ts';
import { REFUSALS, type Refusal, refusal, refusalBody } from '../wire/refusals.ts';
import { BODY_BYTES_MAX } from './limits.ts';

/** Answers a refusal: its status, its body, and `Retry-After` where waiting helps. */
export function answerRefusal(ctx: Context, found: Refusal): void {
  ctx.status = REFUSALS[found.code].status;
  ctx.set('Cache-Control', 'no-store');
  const wait = found.detail?.retry_after_seconds;
  if (typeof wait === 'number') ctx.set('Retry-After', String(wait));
  else if (ctx.status === 503) ctx.set('Retry-After', '1');
  ctx.body = refusalBody(found);
}

export function answer(ctx: Context, body: JsonObject, status = 200): void {
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  ctx.body = body;
}

/** The JSON body, parsed strictly and checked against `schema`; refused with the first place that is wrong. */
export async function readJson<Schema extends z.ZodType>(
  ctx: Context,
  schema: Schema,
): Promise<Result<z.infer<Schema>, Refusal>> {
  if (!ctx.is('application/json')) {
    return refused(refusal('request_invalid', 'Send the request as application/json.'));
  }
  let bytes: Buffer;
  try {
    const length = ctx.req.headers['content-length'];
    bytes = await getRawBody(ctx.req, { limit: BODY_BYTES_MAX, ...(length === undefined ? {} : { length }) });
  } catch (error) {
    if ((error as { type?: string }).type === 'entity.too.large') {
      return refused(refusal('body_too_large', 'The request is larger than 2 MiB.'));
    }
    return refused(refusal('request_invalid', 'The request ended before its body was complete.'));
  }
  const parsed = parseStrictJson(bytes, { bytesMax: BODY_BYTES_MAX });
  if (!parsed.ok) return refused(refusal(parsed.refusal.code, parsed.refusal.message));
  const checked = schema.safeParse(parsed.value);
  if (checked.success) return accepted(checked.data);
  const issue = checked.error.issues[0]!;
  const place = issue.path.length === 0 ? 'the body' : `"${issue.path.join('.')}"`;
  return refused(refusal('request_invalid', `${place}: ${issue.message}`));
}
