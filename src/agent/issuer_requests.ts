import { z } from 'zod';
import {
  type AuthorizationServer,
  authorizationServerMetadataUrl,
  readAuthorizationServer,
} from '../wire/authorization_server_rfc8414.ts';
import { AgentError } from './agent_error.ts';
import { REQUEST_TIMEOUT_MS } from './limits.ts';

const problemSchema = z.object({
  error: z.string(),
  error_description: z.string().optional(),
  next: z.string().optional(),
});

/** Sends one request; throws AgentError for every answer but a success, with the server's own words. */
export async function send(url: string, init: RequestInit): Promise<unknown> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    const text = await response.text();
    body = text === '' ? null : JSON.parse(text);
  } catch (cause) {
    throw new AgentError('unavailable', `${url} cannot be reached.`, { next: 'Check that the issuer runs.', cause });
  }
  if (response.ok) return body;
  const problem = problemSchema.safeParse(body);
  if (!problem.success) throw new AgentError('unavailable', `${url} answered ${response.status}.`);
  const { error, error_description: description, next } = problem.data;
  throw new AgentError(error, description ?? error, next === undefined ? {} : { next });
}

/** The issuer's metadata, read once; a failure is not remembered. */
export function authorizationServer(issuer: string): () => Promise<AuthorizationServer> {
  let known: Promise<AuthorizationServer> | undefined;
  return () => {
    known ??= read(issuer).catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  };
}

async function read(issuer: string): Promise<AuthorizationServer> {
  const url = authorizationServerMetadataUrl(issuer);
  const body = await send(url, { headers: { accept: 'application/json' } });
  try {
    return readAuthorizationServer(issuer, body);
  } catch (cause) {
    throw new AgentError('unavailable', `${url} cannot be used: ${(cause as Error).message}.`, { cause });
  }
}
