import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { request } from 'undici';
import { z } from 'zod';
import type { AuthorizationServer } from '../wire/authorization_server_rfc8414.ts';
import { atMostEvery } from './at_most_every.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { ISSUER_KEYS_AGE_MS_MAX, ISSUER_TIMEOUT_MS, UNKNOWN_KEY_MS_MIN } from './limits.ts';

/** The public keys that the issuer publishes (RFC 7517 §5), of tokens and of leases. */
export interface IssuerKeys {
  /** Finds a key by its id; one that is not known is looked for at the issuer. Throws IssuerOutage. */
  readonly find: JWTVerifyGetKey;
  has(kid: string): boolean;
  /** Reads them now. Rejects with IssuerOutage; those known last stay. */
  refresh(): Promise<void>;
  /** The same because of a key id that nobody here knows: at most once a second, whatever callers send. */
  lookFor(): Promise<void>;
}

const keySet = z.object({ keys: z.array(z.looseObject({ kid: z.string().optional() })).max(1_000) });

interface Known {
  readonly find: JWTVerifyGetKey;
  readonly kids: ReadonlySet<string | undefined>;
  readonly readAtMs: number;
}

/**
 * Read when they are first needed, when a lease says that they changed, and when a token names one that is not among
 * them. A library that reads them by itself would refuse tokens of a new key until its pause is over.
 */
export function issuerKeys(metadata: () => Promise<AuthorizationServer>): IssuerKeys {
  let known: Known | undefined;
  const read = async (): Promise<void> => {
    known = await readKeys((await metadata()).jwks_uri);
  };
  const refresh = atMostEvery(0, read);
  const lookFor = atMostEvery(UNKNOWN_KEY_MS_MIN, refresh);
  return {
    has: (kid) => known?.kids.has(kid) ?? false,
    refresh,
    lookFor,
    async find(header, token) {
      if (known === undefined || !known.kids.has(header.kid)) await lookFor();
      // A failure here is met again by the token that finds no key.
      else if (performance.now() - known.readAtMs > ISSUER_KEYS_AGE_MS_MAX) lookFor().catch(() => {});
      return known!.find(header, token);
    },
  };
}

async function readKeys(url: string): Promise<Known> {
  try {
    const response = await request(url, { headersTimeout: ISSUER_TIMEOUT_MS, bodyTimeout: ISSUER_TIMEOUT_MS });
    const body: unknown = await response.body.json();
    if (response.statusCode !== 200) throw new TypeError(`it answered ${response.statusCode}`);
    const { keys } = keySet.parse(body);
    return {
      find: createLocalJWKSet({ keys } as JSONWebKeySet) as JWTVerifyGetKey,
      kids: new Set(keys.map((key) => key.kid)),
      readAtMs: performance.now(),
    };
  } catch (error) {
    throw new IssuerOutage(`${url} cannot be used: ${error instanceof Error ? error.message : 'it failed'}.`, error);
  }
}
