/** The `__Host-` prefix makes browsers refuse it for a Domain, another Path or without Secure (RFC 6265bis §4.1.3.2). */
export const SESSION_COOKIE = '__Host-countersign';

// Lax, not Strict: a person who follows a link from chat or mail is still signed in when the page opens.
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax';

/** The Set-Cookie header. Written by hand: Koa refuses Secure over http, but browsers take it for http://localhost. */
export function sessionCookie(value: string, maxAgeSeconds: number): string {
  return `${SESSION_COOKIE}=${value}; Max-Age=${maxAgeSeconds}; ${ATTRIBUTES}`;
}

export function expiredSessionCookie(): string {
  return sessionCookie('', 0);
}

/** The session's secret from a Cookie header. */
export function readSessionCookie(header: string | undefined): string | undefined {
  return readCookie(header, SESSION_COOKIE);
}

/** The value of this name in a Cookie header; undefined if there is none, or two, of which one must be planted. */
export function readCookie(header: string | undefined, name: string): string | undefined {
  const values: string[] = [];
  for (const pair of (header ?? '').split(';')) {
    const equals = pair.indexOf('=');
    if (equals >= 0 && pair.slice(0, equals).trim() === name) values.push(pair.slice(equals + 1).trim());
  }
  return values.length === 1 ? values[0] : undefined;
}
