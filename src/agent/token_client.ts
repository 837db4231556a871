import { z } from 'zod';
import type { AuthorizationServer } from '../wire/authorization_server_rfc8414.ts';
import { clientAssertion } from '../wire/client_assertion_rfc7523.ts';
import type { SigningKey } from '../wire/signing_key.ts';
import { AgentError } from './agent_error.ts';
import { ask, bodyOf, type IssuerAnswer } from './issuer_requests.ts';
import { TOKEN_ATTEMPTS_MAX } from './limits.ts';
import type { Prover } from './prover.ts';

const answerSchema = z.object({
  access_token: z.string().min(1),
  expires_in: z.number().positive(),
  token_type: z.string().default('Bearer'),
});

export interface TokenClient {
  readonly issuer: string;
  readonly clientId: string;
  readonly key: () => Promise<SigningKey>;
  readonly server: () => Promise<AuthorizationServer>;
  /** Binds tokens to its key (RFC 9449); undefined for bearer tokens. */
  readonly prover: Prover | undefined;
}

export interface IssuedToken {
  readonly value: string;
  readonly seconds: number;
}

/** The errors after which the same request, made anew, may be taken: what they refuse was made for one moment. */
const MADE_ANEW: readonly string[] = ['invalid_client', 'invalid_dpop_proof', 'use_dpop_nonce'];

/** One request to the token endpoint, authenticated by `private_key_jwt` and, where asked for, bound to a key. */
export async function requestToken(client: TokenClient, form: Readonly<Record<string, string>>): Promise<IssuedToken> {
  const { token_endpoint: url } = await client.server();
  let answer = await post(client, url, form);
  // The issuer asks for a nonce (RFC 9449 §8), or its memory of used assertions and proofs began anew since ours were made.
  for (let sent = 1; sent < TOKEN_ATTEMPTS_MAX && MADE_ANEW.includes(errorOf(answer)); sent += 1) {
    answer = await post(client, url, form);
  }
  const parsed = answerSchema.safeParse(bodyOf(url, answer));
  if (!parsed.success) throw new AgentError('unavailable', `${url} gave an answer that is no token.`);
  const { access_token: value, expires_in: seconds, token_type: type } = parsed.data;
  // A stolen bearer token would work for whoever has it, which this agent was told to rule out.
  if (client.prover !== undefined && type.toLowerCase() !== 'dpop') {
    throw new AgentError('unavailable', `${url} gave a token that is not bound to the key of this agent.`);
  }
  return { value, seconds };
}

async function post(client: TokenClient, url: string, form: Readonly<Record<string, string>>): Promise<IssuerAnswer> {
  const body = new URLSearchParams({ ...form, ...(await clientAssertion(await client.key(), client, new Date())) });
  const proof = await client.prover?.proof('POST', url);
  const headers = { accept: 'application/json', ...(proof === undefined ? {} : { dpop: proof }) };
  const answer = await ask(url, { method: 'POST', headers, body });
  client.prover?.learn(url, answer.headers);
  return answer;
}

function errorOf({ status, body }: IssuerAnswer): string {
  const isProblem = status >= 400 && typeof body === 'object' && body !== null && 'error' in body;
  return isProblem ? String(body.error) : '';
}
