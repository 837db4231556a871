import { z } from 'zod';
import type { AuthorizationServer } from '../wire/authorization_server_rfc8414.ts';
import { clientAssertion } from '../wire/client_assertion_rfc7523.ts';
import type { SigningKey } from '../wire/signing_key.ts';
import { AgentError } from './agent_error.ts';
import { send } from './issuer_requests.ts';
import { TOKEN_MARGIN_SECONDS } from './limits.ts';

const answerSchema = z.object({ access_token: z.string().min(1), expires_in: z.number().positive() });

export interface TokenRequest {
  readonly resource: string;
  readonly scope: string;
  /** The task that the token is for (RFC 9396). */
  readonly taskId?: string;
}

export interface CachedToken {
  /** A token with some life left. */
  get(): Promise<string>;
  /** It was refused: get another one. */
  forget(): void;
}

export interface TokenClient {
  readonly issuer: string;
  readonly clientId: string;
  readonly key: () => Promise<SigningKey>;
  readonly server: () => Promise<AuthorizationServer>;
}

/** One token by client credentials (RFC 6749 §4.4), kept until shortly before it expires. */
export function cachedToken(client: TokenClient, request: TokenRequest): CachedToken {
  let held: { readonly value: string; readonly until: number } | undefined;
  let pending: Promise<string> | undefined;
  const obtain = async (): Promise<string> => {
    const askedAt = Date.now();
    const { access_token: value, expires_in: seconds } = await requestToken(client, request).catch((error: unknown) => {
      // The issuer's memory of used assertions may have begun anew since ours was made: another one says.
      if (error instanceof AgentError && error.code === 'invalid_client') return requestToken(client, request);
      throw error;
    });
    // Half of a very short life, so that such a token is used at all.
    const margin = Math.min(TOKEN_MARGIN_SECONDS, seconds / 2);
    held = { value, until: askedAt + (seconds - margin) * 1000 };
    return value;
  };
  return {
    async get() {
      if (held !== undefined && held.until > Date.now()) return held.value;
      pending ??= obtain().finally(() => {
        pending = undefined;
      });
      return pending;
    },
    forget() {
      held = undefined;
    },
  };
}

async function requestToken(client: TokenClient, request: TokenRequest): Promise<z.infer<typeof answerSchema>> {
  const { token_endpoint: url } = await client.server();
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    resource: request.resource,
    scope: request.scope,
    ...(request.taskId === undefined
      ? {}
      : { authorization_details: JSON.stringify([{ type: 'mcp_task', task_id: request.taskId }]) }),
    ...(await clientAssertion(await client.key(), client, new Date())),
  });
  const body = await send(url, { method: 'POST', headers: { accept: 'application/json' }, body: form });
  const parsed = answerSchema.safeParse(body);
  if (!parsed.success) throw new AgentError('unavailable', `${url} gave an answer that is no token.`);
  return parsed.data;
}
