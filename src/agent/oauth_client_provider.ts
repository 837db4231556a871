import { clientAssertion } from '../wire/client_assertion_rfc7523.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { type CachedToken, credentialsForm } from './access_tokens.ts';
import type { TokenClient } from './token_client.ts';

/**
 * Fits `OAuthClientProvider` of the MCP SDKs, v1 and v2: for hosts that take nothing else. It has no redirect address, so
 * that the SDK asks for a token without a browser, and each request gets a token that is renewed before it expires.
 */
export interface TaskOAuthProvider {
  readonly redirectUrl: undefined;
  readonly clientMetadata: {
    readonly client_name: string;
    readonly redirect_uris: [];
    readonly grant_types: ['client_credentials'];
    readonly token_endpoint_auth_method: 'private_key_jwt';
  };
  clientInformation(): { readonly client_id: string };
  tokens(): Promise<{ access_token: string; token_type: string }>;
  saveTokens(tokens: { access_token: string; expires_in?: number | undefined }): void;
  prepareTokenRequest(scope?: string): URLSearchParams;
  addClientAuthentication(headers: Headers, params: URLSearchParams): Promise<void>;
  invalidateCredentials(): void;
  redirectToAuthorization(): void;
  saveCodeVerifier(): void;
  codeVerifier(): string;
}

export function taskOAuthProvider(
  client: TokenClient,
  token: CachedToken,
  task: { readonly taskId: string; readonly resource: string },
): TaskOAuthProvider {
  if (client.prover !== undefined) {
    throw new TypeError(
      'The SDK sends tokens as Bearer, and those of this agent are bound to a key: use fetch() instead.',
    );
  }
  return {
    redirectUrl: undefined,
    clientMetadata: {
      client_name: client.clientId,
      redirect_uris: [],
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'private_key_jwt',
    },
    clientInformation: () => ({ client_id: client.clientId }),
    tokens: async () => ({ access_token: await token.get(), token_type: 'Bearer' }),
    saveTokens({ access_token: value, expires_in: seconds }) {
      if (seconds === undefined) token.forget();
      else token.adopt({ value, seconds });
    },
    prepareTokenRequest: () => new URLSearchParams(credentialsForm({ ...task, scope: BASE_SCOPE })),
    async addClientAuthentication(_headers, params) {
      const members = await clientAssertion(await client.key(), client, new Date());
      for (const [name, value] of Object.entries(members)) params.set(name, value);
    },
    invalidateCredentials: () => token.forget(),
    redirectToAuthorization: noBrowser,
    saveCodeVerifier: noBrowser,
    codeVerifier: noBrowser,
  };
}

function noBrowser(): never {
  throw new TypeError('A service agent has no browser to go to.');
}
