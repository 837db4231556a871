import { request } from 'undici';
import { z } from 'zod';
import type { AuthorizationServer } from '../wire/authorization_server_rfc8414.ts';
import { clientAssertion } from '../wire/client_assertion_rfc7523.ts';
import { createDpopProof, type DpopKey } from '../wire/dpop_rfc9449.ts';
import { GUARD_API_PATH, GUARD_API_SCOPE } from '../wire/guard_api.ts';
import type { SigningKey } from '../wire/signing_key.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { ISSUER_TIMEOUT_MS, TOKEN_RENEWAL_FRACTION } from './limits.ts';

export interface GuardTokenSource {
  /** A token that is good for now. Throws IssuerOutage. */
  get(): Promise<string>;
  /** The issuer refused this token: do not use it again. */
  forget(token: string): void;
}

export interface GuardTokenOptions {
  readonly issuer: string;
  readonly metadata: () => Promise<AuthorizationServer>;
  readonly key: SigningKey;
  readonly dpopKey: DpopKey;
  readonly clientId: () => string | undefined;
}

interface HeldToken {
  readonly value: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

const tokenAnswer = z.object({
  access_token: z.string().min(1),
  token_type: z.string(),
  expires_in: z.number().positive(),
});
const errorAnswer = z.object({ error: z.string(), error_description: z.string().optional() });

/** One request at a time; renewed in the background before it ends, so that no call waits for it. */
export function guardTokenSource(options: GuardTokenOptions): GuardTokenSource {
  let held: HeldToken | undefined;
  let pending: Promise<HeldToken> | undefined;
  const renew = (): Promise<HeldToken> => {
    pending ??= obtain(options)
      .then((token) => {
        held = token;
        return token;
      })
      .finally(() => {
        pending = undefined;
      });
    return pending;
  };
  return {
    async get() {
      const now = Date.now();
      if (held === undefined || held.expiresAt <= now) return (await renew()).value;
      // A failure here is met again, and reported, by the call that finds no token left.
      if (held.renewAt <= now) renew().catch(() => {});
      return held.value;
    },
    forget(token) {
      if (held?.value === token) held = undefined;
    },
  };
}

async function obtain(options: GuardTokenOptions): Promise<HeldToken> {
  const clientId = options.clientId();
  if (clientId === undefined) throw new IssuerOutage('This guard is not registered at the issuer yet.');
  const { token_endpoint: url } = await options.metadata();
  let answer = await post(url, clientId, options, undefined);
  // RFC 9449 §8: the server may ask for a nonce of its own.
  if (answer.status === 400 && answer.nonce !== undefined) answer = await post(url, clientId, options, answer.nonce);
  // The issuer's memory of used proofs may have begun anew since ours were made.
  else if (isMadeAgain(answer.body)) answer = await post(url, clientId, options, undefined);
  const parsed = tokenAnswer.safeParse(answer.body);
  if (answer.status !== 200 || !parsed.success) {
    const problem = errorAnswer.safeParse(answer.body);
    const what = problem.success
      ? `${problem.data.error}: ${problem.data.error_description ?? ''}`
      : `${answer.status}`;
    throw new IssuerOutage(`The issuer gave this guard no token (${what}). Check that its registration is active.`);
  }
  if (parsed.data.token_type.toLowerCase() !== 'dpop') {
    throw new IssuerOutage('The issuer gave this guard a token that is not bound to its key.');
  }
  const now = Date.now();
  const life = parsed.data.expires_in * 1000;
  return { value: parsed.data.access_token, expiresAt: now + life, renewAt: now + life * (1 - TOKEN_RENEWAL_FRACTION) };
}

function isMadeAgain(body: unknown): boolean {
  const problem = errorAnswer.safeParse(body);
  return problem.success && ['invalid_dpop_proof', 'invalid_client'].includes(problem.data.error);
}

async function post(url: string, clientId: string, options: GuardTokenOptions, nonce: string | undefined) {
  const now = new Date();
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    scope: GUARD_API_SCOPE,
    resource: `${options.issuer}${GUARD_API_PATH}`,
    ...(await clientAssertion(options.key, { clientId, issuer: options.issuer }, now)),
  });
  const proof = await createDpopProof(options.dpopKey, { htm: 'POST', htu: url, nonce, now });
  try {
    const response = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', dpop: proof },
      body: form.toString(),
      headersTimeout: ISSUER_TIMEOUT_MS,
      bodyTimeout: ISSUER_TIMEOUT_MS,
    });
    const newNonce = response.headers['dpop-nonce'];
    const body: unknown = await response.body.json();
    return { status: response.statusCode, body, nonce: typeof newNonce === 'string' ? newNonce : undefined };
  } catch (error) {
    throw new IssuerOutage(`The token endpoint ${url} cannot be reached or does not answer with JSON.`, error);
  }
}
