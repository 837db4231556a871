import { request } from 'undici';
import { z } from 'zod';
import { IssuerOutage } from './issuer_outage.ts';
import { ISSUER_TIMEOUT_MS } from './limits.ts';

const metadataSchema = z.object({ issuer: z.string(), token_endpoint: z.url(), jwks_uri: z.url() });
export type IssuerMetadata = z.infer<typeof metadataSchema>;

/** RFC 8414 §3: the well-known part comes before the path of the issuer. */
function metadataUrl(issuer: string): string {
  const url = new URL(issuer);
  return `${url.origin}/.well-known/oauth-authorization-server${url.pathname === '/' ? '' : url.pathname}`;
}

/** Reads the issuer's metadata once; a failure is not remembered. Throws IssuerOutage. */
export function discovery(issuer: string): () => Promise<IssuerMetadata> {
  let known: Promise<IssuerMetadata> | undefined;
  return () => {
    known ??= read(issuer).catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  };
}

async function read(issuer: string): Promise<IssuerMetadata> {
  const url = metadataUrl(issuer);
  let body: unknown;
  try {
    const response = await request(url, { headersTimeout: ISSUER_TIMEOUT_MS, bodyTimeout: ISSUER_TIMEOUT_MS });
    body = await response.body.json();
    if (response.statusCode !== 200) throw new IssuerOutage(`${url} answered ${response.statusCode}.`);
  } catch (error) {
    if (error instanceof IssuerOutage) throw error;
    throw new IssuerOutage(`${url} cannot be read. Is the issuer running, and is its address right?`, error);
  }
  const parsed = metadataSchema.safeParse(body);
  if (!parsed.success) throw new IssuerOutage(`${url} is not the metadata of an authorization server.`);
  // RFC 8414 §3.3: else another server could answer for the issuer.
  if (parsed.data.issuer !== issuer) {
    throw new IssuerOutage(
      `${url} belongs to the issuer ${parsed.data.issuer}, not to ${issuer}. Write it exactly so.`,
    );
  }
  return parsed.data;
}
