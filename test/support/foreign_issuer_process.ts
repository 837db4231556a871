import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';
import Provider from 'oidc-provider';

// A real OpenID provider as a process of its own: a platform, or an identity provider, that Countersign trusts. It prints one
// JSON line when it is ready. `POST /mint` {header, claims} signs what is asked for, which a real one decides by itself;
// `POST /rotate` begins to sign with another key; `GET /fetched` says how often its keys were read.

type Algorithm = 'ES256' | 'RS256' | 'PS256' | 'EdDSA';

const alg = (process.argv[2] ?? 'ES256') as Algorithm;
const keys: JWK[] = [];
const fetched = { discovery: 0, jwks: 0 };

async function addKey(): Promise<void> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  keys.unshift({ ...(await exportJWK(privateKey)), kid: `key-${keys.length + 1}`, alg, use: 'sig' });
}

await addKey();
const server = createServer();
await new Promise<void>((resolve) => server.listen(Number(process.argv[3] ?? 0), '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;
const issuer = `http://127.0.0.1:${port}`;

function engine() {
  const provider = new Provider(issuer, {
    jwks: { keys: keys as never },
    clients: [],
    clientDefaults: { id_token_signed_response_alg: alg },
    features: { devInteractions: { enabled: false } },
    cookies: { keys: ['k'] },
  });
  return provider.callback();
}
let handle = engine();

async function mint(body: string): Promise<string> {
  const { header = {}, claims = {} } = JSON.parse(body) as {
    header?: Record<string, unknown>;
    claims?: Record<string, unknown>;
  };
  const [key] = keys as [JWK];
  const now = Math.floor(Date.now() / 1000);
  const defaults = { iss: issuer, iat: now, exp: now + 300, jti: crypto.randomUUID() };
  const all = Object.entries({ ...defaults, ...claims }).filter(([, value]) => value !== null);
  return new SignJWT(Object.fromEntries(all))
    .setProtectedHeader({ alg, kid: key.kid!, ...header })
    .sign((await importJWK(key, alg)) as CryptoKey);
}

server.on('request', async (request, response) => {
  if (request.url === '/jwks') fetched.jwks += 1;
  if (request.url === '/.well-known/openid-configuration') fetched.discovery += 1;
  if (request.method !== 'POST' || !/^\/(mint|rotate)$/.test(request.url ?? '')) {
    if (request.url === '/fetched') response.end(JSON.stringify(fetched));
    else handle(request, response);
    return;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.url === '/rotate') {
    await addKey();
    handle = engine();
    response.end();
    return;
  }
  response.end(await mint(body));
});
process.once('SIGTERM', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ issuer, port })}\n`);
