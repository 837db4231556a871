import { TOKEN_MARGIN_SECONDS } from './limits.ts';
import { type IssuedToken, requestToken, type TokenClient } from './token_client.ts';

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
  /** Another part of the program obtained it. */
  adopt(token: IssuedToken): void;
}

/** One token, kept until shortly before it expires, and then obtained anew by whoever needs it first. */
export function cachedToken(obtain: () => Promise<IssuedToken>): CachedToken {
  let held: { readonly value: string; readonly until: number } | undefined;
  let pending: Promise<string> | undefined;
  const keep = ({ value, seconds }: IssuedToken, askedAt: number): string => {
    // Half of a very short life, so that such a token is used at all.
    const margin = Math.min(TOKEN_MARGIN_SECONDS, seconds / 2);
    held = { value, until: askedAt + (seconds - margin) * 1000 };
    return value;
  };
  const renew = async (): Promise<string> => {
    const askedAt = Date.now();
    return keep(await obtain(), askedAt);
  };
  return {
    async get() {
      if (held !== undefined && held.until > Date.now()) return held.value;
      pending ??= renew().finally(() => {
        pending = undefined;
      });
      return pending;
    },
    forget() {
      held = undefined;
    },
    adopt(token) {
      keep(token, Date.now());
    },
  };
}

/** The members by which a token is asked for by client credentials (RFC 6749 §4.4). */
export function credentialsForm({ resource, scope, taskId }: TokenRequest): Record<string, string> {
  return {
    grant_type: 'client_credentials',
    resource,
    scope,
    ...(taskId === undefined ? {} : { authorization_details: JSON.stringify([{ type: 'mcp_task', task_id: taskId }]) }),
  };
}

export function credentialsToken(client: TokenClient, request: TokenRequest): CachedToken {
  return cachedToken(() => requestToken(client, credentialsForm(request)));
}
