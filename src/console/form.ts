import type { AuthenticationResponseJSON } from '@simplewebauthn/server';
import type { Context } from 'koa';
import getRawBody from 'raw-body';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { parseStrictJson } from '../kernel/strict_json.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { FORM_BYTES_MAX, FORM_FIELDS_MAX, JSON_BODY_BYTES_MAX } from './limits.ts';

/** The fields of a posted form; every name occurs once. */
export type Form = ReadonlyMap<string, string>;

/** Reads a form, or the JSON of our own scripts as one: text members become fields, the others stay in `json`. */
export async function readPosted(ctx: Context): Promise<Result<{ form: Form; json: JsonObject | null }, Refusal>> {
  const type = ctx.is('application/x-www-form-urlencoded', 'application/json');
  if (type === 'application/json') {
    const body = await readBody(ctx, JSON_BODY_BYTES_MAX);
    if (!body.ok) return body;
    const parsed = parseStrictJson(body.value, { bytesMax: JSON_BODY_BYTES_MAX });
    if (!parsed.ok) return refused(refusal(parsed.refusal.code, parsed.refusal.message));
    const json = parsed.value;
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      return refused(refusal('request_invalid', 'The request must be a JSON object.'));
    }
    const texts = Object.entries(json).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
    return accepted({ form: new Map(texts), json: json as JsonObject });
  }
  if (type === false || type === null) return refused(refusal('request_invalid', 'Send the form as this page does.'));
  const body = await readBody(ctx, FORM_BYTES_MAX);
  return body.ok ? parseForm(body.value) : body;
}

/** The answer of a passkey that the script put into the form; the ceremony's end checks it. */
export function readAssertion(form: Form): Result<AuthenticationResponseJSON, Refusal> {
  const parsed = parseStrictJson(form.get('confirmation') ?? '', { bytesMax: JSON_BODY_BYTES_MAX });
  if (!parsed.ok) return refused(refusal('passkey_required', 'The answer of your passkey did not arrive.'));
  return accepted(parsed.value as unknown as AuthenticationResponseJSON);
}

function parseForm(body: Buffer): Result<{ form: Form; json: null }, Refusal> {
  const form = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(body.toString('utf8'))) {
    if (form.has(name)) return refused(refusal('request_invalid', `The field "${name}" came twice.`));
    if (form.size >= FORM_FIELDS_MAX) return refused(refusal('request_invalid', 'The form has too many fields.'));
    form.set(name, value);
  }
  return accepted({ form, json: null });
}

async function readBody(ctx: Context, limit: number): Promise<Result<Buffer, Refusal>> {
  try {
    const length = ctx.req.headers['content-length'];
    return accepted(await getRawBody(ctx.req, { limit, ...(length === undefined ? {} : { length }) }));
  } catch (error) {
    if ((error as { type?: string }).type === 'entity.too.large') {
      return refused(refusal('body_too_large', `What was sent is larger than ${limit} bytes.`));
    }
    return refused(refusal('request_invalid', 'The request ended before its body was complete.'));
  }
}
