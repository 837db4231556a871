import * as oidc from 'openid-client';
import type { Logger } from '../../kernel/logger.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { SafeFetchError } from '../../kernel/safe_fetch.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { type Admitted, admit, leavesGroupsOut } from './admit.ts';
import type { UpstreamClient } from './client.ts';
import type { Trip } from './trip.ts';

/** The identity providers that people may sign in by. */
export interface UpstreamProviders {
  readonly list: readonly { readonly id: string; readonly name: string }[];
  /** Where the browser is sent: an address of the provider's own. */
  begin(trip: Trip, callback: string): Promise<Result<URL, Refusal>>;
  /** Who the provider says has come back, verified: state, issuer, nonce, signature, and what the configuration asks for. */
  finish(trip: Trip, answer: URL): Promise<Result<Admitted, Refusal>>;
}

export function createUpstreamProviders(clients: readonly UpstreamClient[], log: Logger): UpstreamProviders {
  const named = new Map(clients.map((client) => [client.settings.id, client]));
  return {
    list: clients.map(({ settings }) => ({ id: settings.id, name: settings.name })),
    async begin(trip, callback) {
      const client = named.get(trip.providerId);
      return client === undefined ? refused(UNKNOWN) : beginAt(client, trip, callback, log);
    },
    async finish(trip, answer) {
      const client = named.get(trip.providerId);
      return client === undefined ? refused(UNKNOWN) : finishAt(client, trip, answer, log);
    },
  };
}

const UNKNOWN = refusal('not_found', 'This server knows no identity provider by this name.');

async function beginAt(
  client: UpstreamClient,
  trip: Trip,
  callback: string,
  log: Logger,
): Promise<Result<URL, Refusal>> {
  const { settings } = client;
  try {
    // Refuses an address that is not https, or http where the issuer itself is.
    const url = oidc.buildAuthorizationUrl(await client.configuration(), {
      redirect_uri: callback,
      scope: settings.scopes.join(' '),
      state: trip.state,
      nonce: trip.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(trip.codeVerifier),
      code_challenge_method: 'S256',
      ...(settings.required_acr.length === 0 ? {} : { acr_values: settings.required_acr.join(' ') }),
    });
    return accepted(url);
  } catch (error) {
    log.error({ ...explain(error), provider: settings.id }, 'an identity provider could not be asked what it offers');
    return refused(silent(settings.name));
  }
}

async function finishAt(
  client: UpstreamClient,
  trip: Trip,
  answer: URL,
  log: Logger,
): Promise<Result<Admitted, Refusal>> {
  const { settings } = client;
  let claims: oidc.IDToken | undefined;
  try {
    const tokens = await oidc.authorizationCodeGrant(await client.configuration(), answer, {
      expectedState: trip.state,
      expectedNonce: trip.nonce,
      pkceCodeVerifier: trip.codeVerifier,
      idTokenExpected: true,
    });
    claims = tokens.claims();
  } catch (error) {
    return refused(failure(settings, error, log));
  }
  if (leavesGroupsOut(settings, claims!)) {
    const words = 'the groups of a person were too many for the token and count as none: have the provider send fewer';
    log.warn({ provider: settings.id, subject: claims!.sub }, words);
  }
  const admitted = admit(settings, claims!);
  if (!admitted.ok)
    log.info({ provider: settings.id, subject: claims!.sub, why: admitted.refusal.message }, 'not admitted');
  return admitted;
}

/** Nothing of the answer but a code reaches the page: it is what anybody wrote into an address. */
function failure(settings: UpstreamClient['settings'], error: unknown, log: Logger): Refusal {
  const { id, name } = settings;
  if (error instanceof oidc.AuthorizationResponseError) {
    const code = /^[a-z_]{1,40}$/.test(error.error) ? error.error : 'an error';
    log.info(
      { provider: id, code, description: error.error_description?.slice(0, 300) },
      'a provider signed nobody in',
    );
    const words =
      code === 'access_denied'
        ? `${name} did not let you in, or you cancelled (access_denied). If you expected to be let in, ask whoever manages ${name} to assign you this application.`
        : `${name} answered "${code}" instead of signing you in. Whoever manages this server finds more in its log.`;
    return refusal('sign_in_refused', words);
  }
  const explained = explain(error);
  if (explained.isOutage) {
    log.error({ ...explained, provider: id }, 'an identity provider did not answer');
    return silent(name);
  }
  log.warn({ ...explained, provider: id }, 'the answer of an identity provider did not verify');
  const words = `What ${name} answered could not be verified, so it does not count. Whoever manages this server finds the reason in its log.`;
  return refusal('sign_in_refused', words);
}

function silent(name: string): Refusal {
  return refusal(
    'unavailable',
    `${name} does not answer this server as an identity provider must. Nobody was signed in.`,
  );
}

/** For the operator: what failed, without the tokens and claims that the library's errors carry. */
function explain(error: unknown): { isOutage: boolean; code: string; message: string; because?: string } {
  const { code, message, cause } = error as { code?: unknown; message?: unknown; cause?: unknown };
  const fetching = [error, cause].find((one) => one instanceof SafeFetchError);
  const oauthError = error instanceof oidc.ResponseBodyError ? error.error : undefined;
  const because = fetching !== undefined ? String((fetching.cause as Error | undefined)?.message ?? '') : oauthError;
  const status = error instanceof oidc.ResponseBodyError ? error.status : 0;
  return {
    isOutage: fetching !== undefined || code === 'OAUTH_TIMEOUT' || status >= 500,
    code: String(fetching?.code ?? code ?? 'unknown'),
    message: String(message),
    ...(because === undefined || because === '' ? {} : { because }),
  };
}
