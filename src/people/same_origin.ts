import type { IncomingHttpHeaders } from 'node:http';

/**
 * Whether a page of the issuer's own origin sent this request; asked of every request that changes something. `Origin`
 * decides. Browsers leave it out, or send "null" under `Referrer-Policy: no-referrer`, for some navigations; then
 * `Sec-Fetch-Site` decides, which scripts cannot set and which is "cross-site" for sandboxed frames. A caller that sends
 * neither is refused.
 */
export function isSameOrigin(headers: IncomingHttpHeaders, issuer: string): boolean {
  const origin = headers.origin;
  if (origin !== undefined && origin !== 'null') return origin === new URL(issuer).origin;
  return headers['sec-fetch-site'] === 'same-origin';
}
