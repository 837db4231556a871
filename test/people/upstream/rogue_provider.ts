import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { UPSTREAM_CLIENT_ID } from '../../support/upstream_provider.ts';

/** What the provider lies about; what is left out it says as a good one would. */
export interface Lies {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly signature?: 'none' | 'other key';
  /** Members of the discovery document. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** The parameter `iss` of its answers (RFC 9207); null leaves it out. */
  readonly iss?: string | null;
  readonly token?: { readonly status: number; readonly body: object };
}

/** An identity provider that somebody else got hold of. It has everything but honesty. */
export interface RogueProvider {
  readonly issuer: string;
  readonly host: string;
  /** What was sent to its token endpoint. */
  readonly tokenRequests: { readonly authorization: string | undefined; readonly form: URLSearchParams }[];
  lie(lies: Lies): void;
  /** The answer to an authorization request, as the browser would bring it. */
  answerTo(request: URL): URL;
  close(): Promise<void>;
}

export async function startRogueProvider(): Promise<RogueProvider> {
  const [own, other] = await Promise.all([generateKeyPair('RS256'), generateKeyPair('RS256')]);
  const jwk = { ...(await exportJWK(own.publicKey)), kid: 'k', alg: 'RS256', use: 'sig' };
  let lies: Lies = {};
  let nonce = '';
  const tokenRequests: RogueProvider['tokenRequests'] = [];
  const server = createServer(async (request, response) => {
    const send = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.url === '/.well-known/openid-configuration') return send(200, metadata());
    if (request.url === '/jwks') return send(200, { keys: [jwk] });
    const form = new URLSearchParams(await textOf(request));
    tokenRequests.push({ authorization: request.headers.authorization, form });
    if (lies.token !== undefined) return send(lies.token.status, lies.token.body);
    send(200, { access_token: 'x', token_type: 'Bearer', expires_in: 60, id_token: await idToken() });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = `http://${host}`;

  const metadata = () => ({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    authorization_response_iss_parameter_supported: true,
    ...lies.metadata,
  });
  const idToken = async () => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: issuer,
      sub: 'victim',
      aud: UPSTREAM_CLIENT_ID,
      nonce,
      iat: now,
      exp: now + 60,
      ...lies.claims,
    };
    if (lies.signature === 'none') return new UnsecuredJWT(claims).encode();
    const key = lies.signature === 'other key' ? other.privateKey : own.privateKey;
    return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'k' }).sign(key);
  };
  return {
    issuer,
    host,
    tokenRequests,
    lie: (next) => {
      lies = next;
    },
    answerTo: (request) => {
      nonce = request.searchParams.get('nonce')!;
      const answer = new URL(request.searchParams.get('redirect_uri')!);
      answer.searchParams.set('code', 'c');
      answer.searchParams.set('state', request.searchParams.get('state')!);
      if (lies.iss !== null) answer.searchParams.set('iss', lies.iss ?? issuer);
      return answer;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}
