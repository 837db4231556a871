const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Throws when the text cannot be an issuer identifier (RFC 8414 §2): https, or http on loopback for development, and no
 * query, fragment, credentials or trailing slash, because clients compare it as a plain string.
 */
export function assertIssuer(issuer: string): void {
  const url = URL.parse(issuer);
  const problem =
    url === null
      ? 'it is not a URL'
      : url.protocol !== 'https:' && !(url.protocol === 'http:' && LOOPBACK_HOSTS.has(url.hostname))
        ? 'it must begin with https:// (http:// is for localhost only)'
        : url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== ''
          ? 'it must not have a query, a fragment or a user name'
          : issuer !== `${url.origin}${issuerPath(issuer)}`
            ? `write it as ${url.origin}${issuerPath(issuer)}`
            : undefined;
  if (problem !== undefined) {
    throw new TypeError(`The issuer "${issuer}" cannot be used: ${problem}. Correct "issuer" in the configuration.`);
  }
}

/** The path of the issuer without a trailing slash; empty for an issuer at the root of its host. */
export function issuerPath(issuer: string): string {
  return new URL(issuer).pathname.replace(/\/+$/, '');
}

export function isLoopbackHost(hostname: string): boolean {
  return LOOPBACK_HOSTS.has(hostname);
}
