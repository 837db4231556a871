import { setTimeout as sleep } from 'node:timers/promises';
import { type CachedToken, credentialsToken } from './access_tokens.ts';
import { AgentError } from './agent_error.ts';
import { ask, bodyOf } from './issuer_requests.ts';
import { RETRY_MS } from './limits.ts';
import type { TokenClient } from './token_client.ts';

const API_PATH = '/api/v1';
const API_SCOPE = 'tasks';
const STALE: readonly string[] = ['token_invalid', 'token_expired'];
const UNPROVEN: readonly string[] = ['dpop_proof_invalid', 'use_dpop_nonce'];

/** The interface of the server for agents in their own name. */
export interface IssuerApi {
  /** The agent's own token, as an `actor_token` of an exchange. */
  readonly token: CachedToken;
  /** Sends a request that changes nothing the second time: once more after a moment when there was no answer. */
  send(path: string, init: { method: string; headers?: Record<string, string>; body?: string }): Promise<unknown>;
}

export function issuerApi(client: TokenClient): IssuerApi {
  const root = `${client.issuer}${API_PATH}`;
  const token = credentialsToken(client, { resource: root, scope: API_SCOPE });
  return {
    token,
    async send(path, init) {
      const url = `${root}${path}`;
      try {
        return await sendAuthorized(client, token, url, init);
      } catch (error) {
        if (!(error instanceof AgentError) || error.code !== 'unavailable') throw error;
        await sleep(RETRY_MS);
        return sendAuthorized(client, token, url, init);
      }
    },
  };
}

/** With a second attempt under a new token: the first may have been revoked, or signed before the server's keys changed. */
async function sendAuthorized(
  client: TokenClient,
  token: CachedToken,
  url: string,
  init: RequestInit,
): Promise<unknown> {
  const { prover } = client;
  const attempt = async () => {
    const accessToken = await token.get();
    const proof = await prover?.proof(init.method ?? 'GET', url, accessToken);
    const headers = {
      accept: 'application/json',
      ...(init.headers as Record<string, string> | undefined),
      authorization: `${prover === undefined ? 'Bearer' : 'DPoP'} ${accessToken}`,
      ...(proof === undefined ? {} : { dpop: proof }),
    };
    const answer = await ask(url, { ...init, headers });
    prover?.learn(url, answer.headers);
    return bodyOf(url, answer);
  };
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    if (STALE.includes(error.code)) token.forget();
    else if (!UNPROVEN.includes(error.code)) throw error;
    return attempt();
  }
}
