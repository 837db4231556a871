import type { Context } from 'koa';
import getRawBody from 'raw-body';
import type { z } from 'zod';
import type { JsonObject } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { parseStrictJson } from '../../kernel/strict_json.ts';
import type { Acting } from '../../model/acting.ts';
import type { Store } from '../../store/store.ts';
import { refusal } from '../../wire/refusals.ts';
import { authenticateApiToken } from '../api_token_auth.ts';
import { BODY_BYTES_MAX } from '../limits.ts';
import { invalid, type ScimRefusal, scimErrorBody } from './scim_error.ts';

export interface ScimAnswer {
  readonly status: number;
  /** Null for an answer without one (204). */
  readonly body: JsonObject | null;
  readonly location?: string;
}

/** One request of a directory whose token was checked. */
export interface ScimRequest {
  readonly store: Store;
  readonly by: Acting;
  readonly id: string;
  readonly query: URLSearchParams;
  read<Schema extends z.ZodType>(schema: Schema): Promise<Result<z.infer<Schema>, ScimRefusal>>;
}

export type ScimHandler = (request: ScimRequest) => Promise<Result<ScimAnswer, ScimRefusal>>;

export async function serveScim(ctx: Context, store: Store, handler: ScimHandler): Promise<void> {
  const token = await authenticateApiToken(ctx, store, 'scim');
  const answered = token.ok
    ? await handler({
        store,
        by: { kind: 'api_token', id: token.value.id },
        id: String((ctx.params as Record<string, string> | undefined)?.id ?? ''),
        query: new URLSearchParams(ctx.querystring),
        read: (schema) => readScim(ctx, schema),
      })
    : token;
  const { status, body } = answered.ok ? answered.value : scimErrorBody(answered.refusal);
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  if (answered.ok && answered.value.location !== undefined) ctx.set('Location', answered.value.location);
  if (body === null) {
    ctx.body = null;
    return;
  }
  ctx.body = JSON.stringify(body);
  ctx.type = 'application/scim+json';
}

/** The body, as SCIM's media type or as plain JSON, which some clients send (RFC 7644 §3.1). */
async function readScim<Schema extends z.ZodType>(
  ctx: Context,
  schema: Schema,
): Promise<Result<z.infer<Schema>, ScimRefusal>> {
  if (!ctx.is('application/scim+json', 'application/json')) {
    return refused(invalid('invalidSyntax', 'Send the request as application/scim+json.'));
  }
  let bytes: Buffer;
  try {
    const length = ctx.req.headers['content-length'];
    bytes = await getRawBody(ctx.req, { limit: BODY_BYTES_MAX, ...(length === undefined ? {} : { length }) });
  } catch (error) {
    const isLarge = (error as { type?: string }).type === 'entity.too.large';
    return refused(
      isLarge
        ? refusal('body_too_large', 'The request is larger than 2 MiB. Add the members of a group in several.')
        : invalid('invalidSyntax', 'The request ended before its body was complete.'),
    );
  }
  const parsed = parseStrictJson(bytes, { bytesMax: BODY_BYTES_MAX });
  if (!parsed.ok) return refused(invalid('invalidSyntax', parsed.refusal.message));
  const checked = schema.safeParse(parsed.value);
  if (checked.success) return accepted(checked.data);
  const issue = checked.error.issues[0]!;
  const place = issue.path.length === 0 ? 'The body' : issue.path.join('.');
  return refused(invalid('invalidSyntax', `${place}: ${issue.message}`));
}
