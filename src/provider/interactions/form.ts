import type { Context } from 'koa';
import rawBody from 'raw-body';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { FORM_BYTES_MAX } from '../limits.ts';

/** The fields of a posted form. A field given twice is refused, because two readers could take different ones. */
export async function readForm(ctx: Context): Promise<Result<ReadonlyMap<string, string>, Refusal>> {
  if (ctx.is('application/x-www-form-urlencoded') === false) {
    return refused(refusal('request_invalid', 'The form must be sent as application/x-www-form-urlencoded.'));
  }
  let text: string;
  try {
    text = await rawBody(ctx.req, {
      length: ctx.req.headers['content-length'] ?? null,
      limit: FORM_BYTES_MAX,
      encoding: 'utf8',
    });
  } catch (error) {
    const isTooLarge = (error as { type?: unknown }).type === 'entity.too.large';
    if (isTooLarge) return refused(refusal('body_too_large', `The form is larger than ${FORM_BYTES_MAX} bytes.`));
    return refused(refusal('request_invalid', 'The form did not arrive whole.'));
  }
  const fields = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (fields.has(name))
      return refused(refusal('request_invalid', `The field "${name.slice(0, 100)}" was sent twice.`));
    fields.set(name, value);
  }
  return accepted(fields);
}
