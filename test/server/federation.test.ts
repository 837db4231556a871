import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { ClientSecretError, readClientSecrets } from '../../src/server/client_secrets.ts';
import { federationOf } from '../../src/server/federation.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

const ISSUER = 'https://countersign.example';
const parse = (federation: object) => parseConfig({ text: JSON.stringify({ issuer: ISSUER, federation }) });

test('nobody is trusted by default; an audience is ours unless it is said', () => {
  const none = parse({});
  expect(none.ok && federationOf(none.value)).toEqual({ workloadIssuers: [], assertionIssuers: [] });
  const some = parse({
    workload_issuers: [
      { issuer: 'https://ci.example' },
      { issuer: 'spiffe://acme', kind: 'spiffe', jwks_uri: 'https://s.example' },
    ],
  });
  expect(some.ok && federationOf(some.value).workloadIssuers).toMatchObject([
    { audience: ISSUER, uses: 'once', jwksUri: null, format: 'jwks' },
    { format: 'jwt_svid' },
  ]);
});

test.each([
  ['an empty audience', { workload_issuers: [{ issuer: 'https://ci.example', audience: '' }] }],
  ['an issuer that is no address', { workload_issuers: [{ issuer: 'ci.example' }] }],
  ['an issuer with a query', { workload_issuers: [{ issuer: 'https://ci.example?x=1' }] }],
  ['an issuer twice', { workload_issuers: [{ issuer: 'https://ci.example' }, { issuer: 'https://ci.example' }] }],
  [
    'a trust domain with a path',
    { workload_issuers: [{ issuer: 'spiffe://a/b', kind: 'spiffe', jwks_uri: 'https://x.example' }] },
  ],
  ['a trust domain without its bundle', { workload_issuers: [{ issuer: 'spiffe://a', kind: 'spiffe' }] }],
  [
    'keys that are no web address',
    { workload_issuers: [{ issuer: 'https://ci.example', jwks_uri: 'file:///etc/passwd' }] },
  ],
  ['a life of weeks', { workload_issuers: [{ issuer: 'https://ci.example', seconds_max: 1_000_000 }] }],
  ['an identity provider that is no address', { identity_assertion_issuers: [{ issuer: 'login' }] }],
  ['a key that does not exist', { workload_issuers: [{ issuer: 'https://ci.example', audiences: ['x'] }] }],
])('%s is refused when the configuration is read', (_, federation) => {
  expect(parse(federation).ok).toBe(false);
});

test('a secret is read from a file that nobody else can read, and one that can be guessed is refused', async () => {
  const root = await makeScratchDirectory('client-secrets');
  const file = join(root, 'secret');
  const clients = [
    { client_id: 'a', client_name: 'A', redirect_uris: ['http://127.0.0.1/cb'], client_secret_file: file },
    { client_id: 'b', client_name: 'B', redirect_uris: ['http://127.0.0.1/cb'] },
  ];
  const config = parseConfig({ text: JSON.stringify({ issuer: ISSUER, clients }) });
  if (!config.ok) throw new Error('the configuration is refused');
  const read = async (text: string, mode = 0o600) => {
    await writeFile(file, text);
    await chmod(file, mode);
    return readClientSecrets(config.value);
  };
  const good = 'k9X2mQ7rT4vB1nZ8sL5wC3yD6fG0hJkP';
  expect([...(await read(`${good}\n`))]).toEqual([['a', good]]);
  await expect(read(good, 0o644)).rejects.toThrow(ClientSecretError);
  for (const bad of ['short', 'a'.repeat(40), `${good}\n${good}`, '']) {
    await expect(read(bad), bad).rejects.toThrow(/openssl rand/);
  }
});
