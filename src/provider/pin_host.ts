import type { IncomingMessage } from 'node:http';
import type { Middleware } from 'koa';
import { refusal, refusalBody } from '../wire/refusals.ts';
import { clientAddress, plainAddress, trustedProxies } from './forwarded.ts';

/**
 * Answers only requests for the issuer's own host (RFC 9110 §15.5.20). Metadata, DPoP `htu` and cookies are built from
 * the host, and a rebound name would otherwise reach a server on loopback. `X-Forwarded-Host`, `X-Forwarded-Proto` and
 * `X-Forwarded-For` count only from the addresses in `proxies`; every other forwarded header is ignored.
 */
export function pinHost(issuer: string, proxies: readonly string[] = []): Middleware {
  const { host, protocol } = new URL(issuer);
  const expected = new Set([host, `${host}:${protocol === 'https:' ? '443' : '80'}`]);
  const scheme = protocol.slice(0, -1);
  const isTrusted = trustedProxies(proxies);
  return async (ctx, next) => {
    ctx.request.ip = clientAddress(ctx.req, isTrusted);
    const isFromProxy = isTrusted(plainAddress(ctx.req.socket.remoteAddress ?? ''));
    const asked = (isFromProxy ? forwarded(ctx.req, 'x-forwarded-host') : undefined) ?? ctx.req.headers.host;
    const schemes = (isFromProxy ? forwarded(ctx.req, 'x-forwarded-proto') : undefined) ?? scheme;
    // A second Host header is dropped by Node's parser, so it is looked for among the raw ones.
    const hosts = ctx.req.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
    const isHost = hosts.length === 1 && asked !== undefined && expected.has(asked.toLowerCase());
    // Of a chain of proxies that each say how they were asked, one without TLS is enough for others to have read along.
    const isScheme = schemes.split(',').every((one) => one.trim().toLowerCase() === scheme);
    if (isHost && isScheme) return next();
    ctx.status = 421;
    ctx.body = refusalBody(refusal('host_unknown', `This server answers only as ${issuer}.`));
  };
}

function forwarded(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}
