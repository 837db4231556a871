import type { Middleware } from 'koa';
import { refusal, refusalBody } from '../wire/refusals.ts';

/**
 * Answers only requests for the issuer's own host (RFC 9110 §15.5.20). Metadata, DPoP `htu` and cookies are built from
 * the host, and a rebound name would otherwise reach a server on loopback. `X-Forwarded-Host` counts only from the
 * addresses in `trustedProxies`; every other forwarded header is ignored.
 */
export function pinHost(issuer: string, trustedProxies: readonly string[] = []): Middleware {
  const { host, protocol } = new URL(issuer);
  const expected = new Set([host, `${host}:${protocol === 'https:' ? '443' : '80'}`]);
  const trusted = new Set(trustedProxies);
  return async (ctx, next) => {
    const isFromProxy = trusted.has(plainAddress(ctx.req.socket.remoteAddress ?? ''));
    const forwarded = isFromProxy ? ctx.req.headers['x-forwarded-host'] : undefined;
    const asked = typeof forwarded === 'string' ? forwarded : ctx.req.headers.host;
    // A second Host header is dropped by Node's parser, so it is looked for among the raw ones.
    const hosts = ctx.req.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
    if (hosts.length !== 1 || asked === undefined || !expected.has(asked.toLowerCase())) {
      ctx.status = 421;
      ctx.body = refusalBody(refusal('host_unknown', `This server answers only as ${issuer}.`));
      return;
    }
    await next();
  };
}

// An IPv4 peer of a dual-stack socket appears as ::ffff:192.0.2.1.
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}
