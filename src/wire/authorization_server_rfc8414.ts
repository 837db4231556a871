import { z } from 'zod';

const metadata = z.object({ issuer: z.string(), token_endpoint: z.url(), jwks_uri: z.url() });

/** What our own clients read of an authorization server's metadata. */
export type AuthorizationServer = z.infer<typeof metadata>;

/** RFC 8414 §3.1: the well-known part stands before the path of the issuer. */
export function authorizationServerMetadataUrl(issuer: string): string {
  const { origin, pathname } = new URL(issuer);
  return `${origin}/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`;
}

/** Throws TypeError with what is wrong, for the log of whoever configured the issuer. */
export function readAuthorizationServer(issuer: string, body: unknown): AuthorizationServer {
  const parsed = metadata.safeParse(body);
  if (!parsed.success) throw new TypeError('it is not the metadata of an authorization server');
  // RFC 8414 §3.3: else another server could answer for the issuer.
  if (parsed.data.issuer !== issuer) {
    throw new TypeError(`it belongs to the issuer ${parsed.data.issuer}, not to ${issuer}; write it exactly so`);
  }
  return parsed.data;
}
