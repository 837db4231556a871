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

export interface IssuerAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Sends one request to the issuer; throws AgentError when there is no answer that is JSON. */
export async function ask(url: string, init: RequestInit): Promise<IssuerAnswer> {
  try {
    const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
  } catch (cause) {
    throw new AgentError('unavailable', `${url} cannot be reached.`, { next: 'Check that the issuer runs.', cause });
  }
}

/** The body of a success; throws AgentError for every other answer, with the server's own words. */
export function bodyOf(url: string, { status, body }: IssuerAnswer): unknown {
  if (status >= 200 && status < 300) return body;
  const problem = problemSchema.safeParse(body);
  if (!problem.success) throw new AgentError('unavailable', `${url} answered ${status}.`);
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
  const body = bodyOf(url, await ask(url, { headers: { accept: 'application/json' } }));
  try {
    return readAuthorizationServer(issuer, body);
  } catch (cause) {
    throw new AgentError('unavailable', `${url} cannot be used: ${(cause as Error).message}.`, { cause });
  }
}
