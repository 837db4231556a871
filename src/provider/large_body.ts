import type { Middleware } from 'koa';
import { ENGINE_BODY_BYTES_MAX } from './limits.ts';

const ENGINE_WORDS = 'failed to parse the request body';

/** RFC 9110 §15.5.14: the engine, which stops reading there, speaks of a body that it could not parse. */
export const answerLargeBody: Middleware = async (ctx, next) => {
  await next();
  const said = (ctx.body as { readonly error_description?: unknown } | undefined)?.error_description;
  if (said !== ENGINE_WORDS) return;
  const isLarge = !ctx.req.complete || Number(ctx.req.headers['content-length'] ?? 0) > ENGINE_BODY_BYTES_MAX;
  if (!isLarge) return;
  ctx.status = 413;
  ctx.body = {
    error: 'invalid_request',
    error_description: `the request body has more than ${ENGINE_BODY_BYTES_MAX} bytes`,
  };
};
