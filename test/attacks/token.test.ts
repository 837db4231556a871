import { type CryptoKey, exportSPKI, importJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { newPkce, type OAuthBrowser } from '../support/oauth_browser.ts';
import {
  authorize,
  clientAssertion,
  codeFields,
  dpopProof,
  guardToken,
  obtainTokens,
  postForm,
  redeemCode,
  refresh,
} from '../support/oauth_flow.ts';
import {
  addPerson,
  addToolServer,
  newTestKey,
  type OAuthServer,
  REDIRECT_URI,
  signedInBrowser,
  startOAuthServer,
  type TestToolServer,
  testClient,
} from '../support/oauth_server.ts';

let server: OAuthServer;
let toolServer: TestToolServer;
let browser: OAuthBrowser;

// Failures are counted per client, so tests that make many have clients of their own.
const CLIENTS = ['cli', 'other', 'racer', 'refresher20', 'refresher50', 'guesser', 'bystander'];

beforeAll(async () => {
  server = await startOAuthServer({ clients: CLIENTS.map((id) => testClient(id)) });
  toolServer = await addToolServer(server.store);
  browser = await signedInBrowser(server, await addPerson(server.store));
});
afterAll(() => server.close());

async function newCode(clientId = 'cli', changes: Record<string, string> = {}) {
  const pkce = newPkce();
  const left = await authorize(server, browser, { resource: toolServer.resource, clientId, pkce, changes });
  return { code: left.searchParams.get('code')!, pkce };
}

const statuses = (answers: readonly { status: number }[]) => answers.filter((answer) => answer.status === 200).length;

test('T12: a code with another client, another redirect address or another DPoP key is refused, and not used up', async () => {
  const key = await newTestKey();
  const { code, pkce } = await newCode('cli', { dpop_jkt: key.thumbprint });
  const stranger = await newTestKey();
  const attempts = [
    await redeemCode(server, code, pkce, 'other'),
    await redeemCode(server, code, pkce, 'cli', { redirect_uri: 'http://127.0.0.1:5555/other' }),
    await redeemCode(server, code, pkce, 'cli', { redirect_uri: 'http://127.0.0.1:6666/callback' }),
  ];
  expect(attempts.map((answer) => answer.body.error)).toEqual(['invalid_grant', 'invalid_grant', 'invalid_grant']);
  const bound = await postForm(server, '/token', codeFields(code, pkce), { DPoP: await dpopProof(server, key) });
  expect(bound.body).toMatchObject({ token_type: 'DPoP' });
  const another = await newCode('cli', { dpop_jkt: key.thumbprint });
  const stolen = await postForm(server, '/token', codeFields(another.code, another.pkce), {
    DPoP: await dpopProof(server, stranger),
  });
  expect(stolen.body.error).toBe('invalid_grant');
  const unbound = await newCode('cli', { dpop_jkt: key.thumbprint });
  expect((await redeemCode(server, unbound.code, unbound.pkce)).body.error).toBe('invalid_grant');
});

test('T13: a code used twice gives tokens once, and then the whole family is dead and the task has ended', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  expect((await redeemCode(server, tokens.code, tokens.pkce)).body.error).toBe('invalid_grant');
  expect((await refresh(server, tokens.refreshToken)).body.error).toBe('invalid_grant');
  const { id } = tokens.claims.task as { id: string };
  const task = await server.store.db.selectFrom('tasks').select('state').where('id', '=', id).executeTakeFirstOrThrow();
  expect(task.state).toBe('cancelled');
  const introspected = await postForm(server, '/introspect', { client_id: 'cli', token: tokens.accessToken });
  expect(introspected.body).toEqual({ active: false });
});

test('T13: of 50 that redeem one code at the same time exactly one succeeds, and the family is revoked', async () => {
  const { code, pkce } = await newCode('racer');
  const answers = await Promise.all(Array.from({ length: 50 }, () => redeemCode(server, code, pkce, 'racer')));
  expect(statuses(answers)).toBe(1);
  expect(new Set(answers.filter(({ status }) => status !== 200).map(({ body }) => body.error))).toEqual(
    new Set(['invalid_grant']),
  );
  const winner = answers.find(({ status }) => status === 200)!;
  expect((await refresh(server, winner.body.refresh_token!, 'racer')).body.error).toBe('invalid_grant');
});

test.each(['code', 'refresh token'])(
  'T13: the family dies also when another node used the %s between our look and our step',
  async (what) => {
    const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
    const grantId = (await server.oauth.provider.RefreshToken.find(tokens.refreshToken))!.grantId!;
    const store = what === 'code' ? server.artifacts.ephemeral : server.artifacts.durable;
    const step = vi.spyOn(store, 'consume').mockResolvedValueOnce('already_consumed');
    const pkce = newPkce();
    const client = (await server.oauth.provider.Client.find('cli'))!;
    const code = new server.oauth.provider.AuthorizationCode({
      accountId: tokens.claims.sub,
      client,
      grantId,
      redirectUri: REDIRECT_URI,
      resource: toolServer.resource,
      scope: 'mcp:tools',
      codeChallenge: pkce.challenge,
      codeChallengeMethod: 'S256',
    } as never);
    Object.assign(code, { expiresIn: 60 });
    const answer =
      what === 'code' ? await redeemCode(server, await code.save(), pkce) : await refresh(server, tokens.refreshToken);
    step.mockRestore();
    expect(answer.body.error).toBe('invalid_grant');
    expect(await server.oauth.provider.Grant.find(grantId)).toBeUndefined();
    const introspected = await postForm(server, '/introspect', { client_id: 'cli', token: tokens.accessToken });
    expect(introspected.body).toEqual({ active: false });
  },
);

test('T14: a forged code with the beginning of a real one is refused, and the real one is untouched', async () => {
  const { code, pkce } = await newCode();
  for (const forged of [
    code.slice(0, -1),
    `${code.slice(0, -1)}${code.endsWith('A') ? 'B' : 'A'}`,
    `${code}A`,
    code.slice(0, 8),
  ]) {
    expect((await redeemCode(server, forged, pkce)).body.error).toBe('invalid_grant');
  }
  expect((await redeemCode(server, code, pkce)).status).toBe(200);
});

test('T15: a rotated refresh token that comes back is refused, and its successors are dead', async () => {
  const first = await obtainTokens(server, browser, { resource: toolServer.resource });
  const second = await refresh(server, first.refreshToken);
  expect(second.status).toBe(200);
  expect(second.body.refresh_token).not.toBe(first.refreshToken);
  const third = await refresh(server, second.body.refresh_token!);
  expect(third.status).toBe(200);
  expect((await refresh(server, first.refreshToken)).body.error).toBe('invalid_grant');
  expect((await refresh(server, third.body.refresh_token!)).body.error).toBe('invalid_grant');
  const events = await server.store.db.selectFrom('events').select('body').where('kind', '=', 'token.reused').execute();
  expect(events.some(({ body }) => body.includes((first.claims.task as { id: string }).id))).toBe(true);
});

test('T15: a refresh never widens: neither scope nor resource', async () => {
  const other = await addToolServer(server.store);
  const { refreshToken } = await obtainTokens(server, browser, { resource: toolServer.resource });
  const wider = await refresh(server, refreshToken, 'cli', {
    scope: 'mcp:tools step_up:stp_aaaaaaaaaaaaaaaaaaaaaaaaaa',
  });
  expect(wider.body.error).toBe('invalid_scope');
  const elsewhere = await refresh(server, refreshToken, 'cli', { resource: other.resource });
  expect(elsewhere.body.error).toBe('invalid_target');
  expect((await refresh(server, refreshToken)).status).toBe(200);
});

test.each([20, 50])(
  'T16: of %i that use one refresh token at the same time exactly one gets a successor',
  async (count) => {
    const clientId = `refresher${count}`;
    const { refreshToken } = await obtainTokens(server, browser, {
      resource: toolServer.resource,
      clientId,
    });
    const answers = await Promise.all(Array.from({ length: count }, () => refresh(server, refreshToken, clientId)));
    expect(statuses(answers)).toBe(1);
    // The others were reuse: what the one got does not live on.
    const winner = answers.find(({ status }) => status === 200)!;
    expect((await refresh(server, winner.body.refresh_token!, clientId)).body.error).toBe('invalid_grant');
  },
);

test('T16: of 20 that use one client assertion at the same time exactly one succeeds', async () => {
  const assertion = await clientAssertion(server, toolServer.clientId, toolServer.key);
  const answers = await Promise.all(Array.from({ length: 20 }, () => guardToken(server, toolServer, assertion)));
  expect(statuses(answers)).toBe(1);
  expect(new Set(answers.filter(({ status }) => status !== 200).map(({ body }) => body.error))).toEqual(
    new Set(['invalid_client']),
  );
});

test('T16: of 20 that use one DPoP proof at the same time exactly one succeeds', async () => {
  const guard = await addToolServer(server.store);
  const proof = await dpopProof(server, guard.key);
  const answers = await Promise.all(
    Array.from({ length: 20 }, async () =>
      postForm(
        server,
        '/token',
        {
          grant_type: 'client_credentials',
          resource: `${server.issuer}/guard/v1`,
          ...(await clientAssertion(server, guard.clientId, guard.key)),
        },
        { DPoP: proof },
      ),
    ),
  );
  expect(statuses(answers)).toBe(1);
});

test('T17: 1,000 guesses end in 429 with Retry-After; other clients are not affected', async () => {
  const counts = new Map<number, number>();
  let retryAfter: string | null = null;
  const batches = Array.from({ length: 40 }, (_, batch) => batch);
  for (const batch of batches) {
    const answers = await Promise.all(
      Array.from({ length: 25 }, (_, index) => redeemCode(server, `guess-${batch}-${index}`, newPkce(), 'guesser')),
    );
    for (const answer of answers) {
      counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
      if (answer.status === 429) retryAfter = answer.headers.get('retry-after');
    }
  }
  expect(counts.get(400)).toBeLessThan(100);
  expect(counts.get(429)).toBeGreaterThan(900);
  expect([...counts.keys()].sort()).toEqual([400, 429]);
  expect(Number(retryAfter)).toBeGreaterThan(0);
  // Also a right code has to wait: a guess that hits must not be let through.
  const own = await newCode('guesser');
  expect((await redeemCode(server, own.code, own.pkce, 'guesser')).status).toBe(429);
  const { code, pkce } = await newCode('bystander');
  expect((await redeemCode(server, code, pkce, 'bystander')).status).toBe(200);
});

test('T18: a client assertion without a signature, or signed with the public key as a secret, is refused', async () => {
  const { clientId, key } = await addToolServer(server.store);
  const good = (await clientAssertion(server, clientId, key)).client_assertion!;
  const payload = good.split('.')[1]!;
  const unsigned = (alg: string) => `${Buffer.from(JSON.stringify({ alg })).toString('base64url')}.${payload}.`;
  const pem = await exportSPKI((await importJWK(key.publicJwk, 'ES256')) as CryptoKey);
  const keyed = (secret: string) =>
    new SignJWT(JSON.parse(Buffer.from(payload, 'base64url').toString()))
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(secret));
  const forgeries = [
    unsigned('none'),
    unsigned('nOnE'),
    unsigned('NONE'),
    await keyed(pem),
    await keyed(` ${pem}`),
    good.slice(0, -4),
  ];
  for (const client_assertion of forgeries) {
    const answer = await guardToken(server, { clientId, key }, { client_assertion });
    expect(answer.status).toBe(401);
    expect(answer.body.error).toBe('invalid_client');
  }
});

test.each([
  ['a kid that is a path', { kid: '../../dev/null' }],
  ['a kid that is SQL', { kid: "' or 1=1 --" }],
  ['a key of its own', { jwk: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' } }],
  ['the address of a key', { jku: 'http://127.0.0.1:1/keys' }],
  ['the address of a certificate', { x5u: 'http://127.0.0.1:1/cert' }],
])('T19: a client assertion with %s in its header is refused and nothing is fetched', async (_what, header) => {
  const { clientId, key } = await addToolServer(server.store);
  const answer = await guardToken(server, { clientId, key }, await clientAssertion(server, clientId, key, { header }));
  expect(answer.status).toBe(401);
  expect(answer.body.error).toBe('invalid_client');
});

test('T21: an unknown, fragmented, second or ungranted resource is invalid_target, and the code is not used up', async () => {
  const other = await addToolServer(server.store);
  const { code, pkce } = await newCode();
  for (const resource of ['http://localhost:1/unknown', `${toolServer.resource}#x`, other.resource, 'mcp']) {
    const answer = await redeemCode(server, code, pkce, 'cli', { resource });
    expect(answer.body.error, resource).toBe('invalid_target');
  }
  expect((await redeemCode(server, code, pkce)).status).toBe(200);
});

test('T21: two resources in one token request are refused, and the code still works for one', async () => {
  const { code, pkce } = await newCode();
  const two = new URLSearchParams(codeFields(code, pkce));
  two.append('resource', toolServer.resource);
  two.append('resource', `${toolServer.resource}/more`);
  expect((await postForm(server, '/token', two)).body.error).toBe('invalid_target');
  expect((await redeemCode(server, code, pkce, 'cli', { resource: toolServer.resource })).status).toBe(200);
});

test('T21: authorization_details of an unknown type, or from a client that has no say in it, are refused', async () => {
  const { code, pkce } = await newCode();
  for (const details of [
    [{ type: 'payment' }],
    [{ type: 'mcp_task', task_id: 'tsk_x' }],
    [{ type: 'mcp_tool_call' }],
    'x',
    [1],
  ]) {
    const answer = await redeemCode(server, code, pkce, 'cli', {
      authorization_details: JSON.stringify(details),
      resource: toolServer.resource,
    });
    expect(answer.body.error).toBe('invalid_authorization_details');
  }
  expect((await redeemCode(server, code, pkce)).status).toBe(200);
});

test('T23: a refresh token bound to a key gives nothing without its proof, and is not used up', async () => {
  const key = await newTestKey();
  const { code, pkce } = await newCode();
  const bound = await postForm(server, '/token', codeFields(code, pkce), { DPoP: await dpopProof(server, key) });
  const fields = { grant_type: 'refresh_token', client_id: 'cli', refresh_token: bound.body.refresh_token! };
  expect((await postForm(server, '/token', fields)).body.error).toBe('invalid_grant');
  const stranger = await dpopProof(server, await newTestKey());
  expect((await postForm(server, '/token', fields, { DPoP: stranger })).body.error).toBe('invalid_grant');
  expect((await postForm(server, '/token', fields, { DPoP: await dpopProof(server, key) })).status).toBe(200);
});

test('T25: parameters given twice, a JSON body and credentials in the query are refused', async () => {
  const { code, pkce } = await newCode();
  for (const name of ['code', 'client_id', 'grant_type', 'code_verifier', 'redirect_uri']) {
    const twice = new URLSearchParams(codeFields(code, pkce));
    twice.append(name, twice.get(name)!);
    expect((await postForm(server, '/token', twice)).body.error, name).toBe('invalid_request');
  }
  const json = await fetch(`${server.issuer}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(codeFields(code, pkce)),
  });
  expect(await json.json()).toMatchObject({ error: 'invalid_request' });
  const query = await postForm(server, `/token?${new URLSearchParams(codeFields(code, pkce))}`, {});
  expect(query.body.error).toBe('invalid_request');
  const { client_id: _, ...rest } = codeFields(code, pkce);
  for (const authorization of [`Basic ${btoa('cli:x')}`, 'Basic !!!', 'Basic', `Bearer ${code}`]) {
    const shared = await postForm(server, '/token', rest, { authorization });
    expect(shared.body.error, authorization).toMatch(/^invalid_(client|request)$/);
  }
  expect((await redeemCode(server, code, pkce)).status).toBe(200);
});
