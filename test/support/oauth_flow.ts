import { randomUUID } from 'node:crypto';
import { decodeJwt, type JWTPayload, SignJWT } from 'jose';
import type { ConsentView } from '../../src/model/consent_view.ts';
import type { OAuthBrowser, Pkce } from './oauth_browser.ts';
import { newPkce } from './oauth_browser.ts';
import { type OAuthServer, REDIRECT_URI, type TestKey } from './oauth_server.ts';

export interface Authorization {
  readonly clientId?: string;
  readonly resource?: string;
  readonly scope?: string;
  readonly pkce?: Pkce;
  /** Changes and additions to the parameters; null leaves one out. */
  readonly changes?: Readonly<Record<string, string | null>>;
}

export function authorizeAddress(server: OAuthServer, authorization: Authorization): string {
  const { clientId = 'cli', resource, scope, pkce = newPkce(), changes = {} } = authorization;
  const params = new URLSearchParams({
    client_id: clientId,
    response_type: 'code',
    redirect_uri: REDIRECT_URI,
    code_challenge: pkce.challenge,
    code_challenge_method: 'S256',
    state: 'st',
    ...(resource === undefined ? {} : { resource }),
    ...(scope === undefined ? {} : { scope }),
  });
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) params.delete(name);
    else params.set(name, value);
  }
  return `${server.issuer}/authorize?${params}`;
}

/** What a person types and clicks: everything the page offers, for an hour. */
export function consentFields(
  view: ConsentView,
  changes: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    csrf: view.csrf,
    decision: 'allow',
    purpose: 'Tidy my notes',
    purpose_code: view.purposeCodes[0]!.code,
    seconds: String(view.durationDefault),
    ...Object.fromEntries(view.tools.map((tool) => [`tool:${tool.name}`, 'yes'])),
    ...changes,
  };
}

/** Goes to the consent page. */
export async function openConsent(
  server: OAuthServer,
  browser: OAuthBrowser,
  authorization: Authorization,
): Promise<ConsentView> {
  const { response } = await browser.follow(await browser.get(authorizeAddress(server, authorization)));
  const page = (await response.json()) as ConsentView & { page: string };
  if (page.page !== 'consent') throw new Error(`No consent page: ${JSON.stringify(page)}`);
  return page;
}

/** The whole trip with consent; where the client is sent in the end. */
export async function authorize(
  server: OAuthServer,
  browser: OAuthBrowser,
  authorization: Authorization,
  changes: Readonly<Record<string, string>> = {},
): Promise<URL> {
  const view = await openConsent(server, browser, authorization);
  const posted = await browser.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view, changes));
  const { response, left } = await browser.follow(posted);
  if (left === null) throw new Error(`Not sent back: ${response.status} ${await response.text()}`);
  return left;
}

export interface TokenAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly access_token?: string;
    readonly refresh_token?: string;
    readonly token_type?: string;
    readonly expires_in?: number;
    readonly scope?: string;
    readonly error?: string;
    readonly error_description?: string;
    readonly authorization_details?: unknown;
  };
}

export async function postForm(
  server: Pick<OAuthServer, 'issuer'>,
  path: string,
  fields: Readonly<Record<string, string>> | URLSearchParams,
  headers: Readonly<Record<string, string>> = {},
): Promise<TokenAnswer> {
  const response = await fetch(`${server.issuer}${path}`, {
    method: 'POST',
    body: new URLSearchParams(fields),
    headers,
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) };
}

export function codeFields(
  code: string,
  pkce: Pkce,
  clientId = 'cli',
  changes: Record<string, string> = {},
): Record<string, string> {
  return {
    grant_type: 'authorization_code',
    client_id: clientId,
    code,
    code_verifier: pkce.verifier,
    redirect_uri: REDIRECT_URI,
    ...changes,
  };
}

export function redeemCode(
  server: OAuthServer,
  code: string,
  pkce: Pkce,
  clientId = 'cli',
  changes: Record<string, string> = {},
) {
  return postForm(server, '/token', codeFields(code, pkce, clientId, changes));
}

export function refresh(server: OAuthServer, token: string, clientId = 'cli', changes: Record<string, string> = {}) {
  return postForm(server, '/token', {
    grant_type: 'refresh_token',
    client_id: clientId,
    refresh_token: token,
    ...changes,
  });
}

/** Consent and code in one go: the tokens of a new task. */
export async function obtainTokens(server: OAuthServer, browser: OAuthBrowser, authorization: Authorization) {
  const pkce = newPkce();
  const left = await authorize(server, browser, { ...authorization, pkce });
  const code = left.searchParams.get('code')!;
  const answer = await redeemCode(server, code, pkce, authorization.clientId);
  if (answer.status !== 200) throw new Error(`No tokens: ${JSON.stringify(answer.body)}`);
  return {
    code,
    pkce,
    accessToken: answer.body.access_token!,
    refreshToken: answer.body.refresh_token!,
    claims: decodeJwt(answer.body.access_token!) as JWTPayload & Record<string, unknown>,
    body: answer.body,
  };
}

export interface AssertionChanges {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

export async function clientAssertion(
  server: Pick<OAuthServer, 'issuer'>,
  clientId: string,
  key: TestKey,
  { claims = {}, header = {} }: AssertionChanges = {},
): Promise<Record<string, string>> {
  const now = Math.floor(Date.now() / 1000);
  const assertion = await new SignJWT({
    iss: clientId,
    sub: clientId,
    aud: server.issuer,
    iat: now,
    exp: now + 60,
    jti: randomUUID(),
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', ...header })
    .sign(key.privateKey);
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  };
}

export async function dpopProof(
  server: Pick<OAuthServer, 'issuer'>,
  key: TestKey,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new SignJWT({
    htm: 'POST',
    htu: `${server.issuer}/token`,
    jti: randomUUID(),
    iat: Math.floor(Date.now() / 1000),
    ...changes,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.publicJwk })
    .sign(key.privateKey);
}

/** A guard's token at the guard API. */
export async function guardToken(
  server: OAuthServer,
  guard: { clientId: string; key: TestKey },
  changes: Record<string, string> = {},
) {
  return postForm(
    server,
    '/token',
    {
      grant_type: 'client_credentials',
      resource: `${server.issuer}/guard/v1`,
      scope: 'guard',
      ...(await clientAssertion(server, guard.clientId, guard.key)),
      ...changes,
    },
    { DPoP: await dpopProof(server, guard.key) },
  );
}
