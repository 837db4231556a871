import { afterAll, beforeAll, expect, test } from 'vitest';
import { AUTHORIZATIONS_PER_MINUTE, TOKEN_FAILURES_MAX } from '../../src/provider/limits.ts';
import { clientAssertion, postForm } from '../support/oauth_flow.ts';
import { addPerson, addServiceAgent, type OAuthServer, startOAuthServer } from '../support/oauth_server.ts';

let direct: OAuthServer;
let behindProxy: OAuthServer;

beforeAll(async () => {
  direct = await startOAuthServer();
  behindProxy = await startOAuthServer({ trustedProxies: ['127.0.0.0/8'] });
});
afterAll(async () => {
  await direct.close();
  await behindProxy.close();
});

const guess = async (server: OAuthServer, forwardedFor: string): Promise<number> => {
  const fields = { grant_type: 'refresh_token', client_id: 'cli', refresh_token: 'A'.repeat(43) };
  return (await postForm(server, '/token', fields, { 'X-Forwarded-For': forwardedFor })).status;
};

async function guessUntilStopped(server: OAuthServer, from: (attempt: number) => string): Promise<boolean> {
  for (let attempt = 0; attempt <= TOKEN_FAILURES_MAX; attempt++) {
    if ((await guess(server, from(attempt))) === 429) return true;
  }
  return false;
}

test('guessing is slowed down for the address behind our proxy, and for nobody else there', async () => {
  expect(await guessUntilStopped(behindProxy, () => '198.51.100.9, 203.0.113.5')).toBe(true);
  expect(await guess(behindProxy, '203.0.113.5')).toBe(429);
  // Also not when the other one claims to have come by way of the first.
  expect(await guess(behindProxy, '203.0.113.5, 203.0.113.6')).toBe(400);
}, 30_000);

test('nobody escapes by sending the header himself', async () => {
  expect(await guessUntilStopped(direct, (attempt) => `203.0.113.${attempt}`)).toBe(true);
}, 30_000);

test('authorization requests are bounded by address, whatever client they name', async () => {
  const from = (address: string) => ({ 'X-Forwarded-For': address });
  const ask = async (address: string) =>
    (await fetch(`${behindProxy.issuer}/authorize?client_id=cli`, { headers: from(address), redirect: 'manual' }))
      .status;
  const store = behindProxy.store.ephemeral;
  for (let asked = 1; asked < AUTHORIZATIONS_PER_MINUTE; asked++) {
    await store.increment('authorizations:203.0.113.40', 60_000);
  }
  expect(await ask('203.0.113.40')).not.toBe(429);
  expect(await ask('203.0.113.40')).toBe(429);
  expect(await ask('203.0.113.41')).not.toBe(429);
});

test('an assertion that the memory is too young for is no guess: a client is not slowed down because the memory moved', async () => {
  const agent = await addServiceAgent(direct.store, await addPerson(direct.store));
  const ask = async (iat: number) => {
    const assertion = await clientAssertion(direct, agent.clientId, agent.key, { claims: { iat, exp: iat + 60 } });
    const fields = { grant_type: 'client_credentials', resource: `${direct.issuer}/api/v1`, ...assertion };
    return postForm(direct, '/token', fields);
  };
  const before = Math.floor(direct.store.ephemeral.remembersSince.getTime() / 1000) - 10;
  for (let attempt = 0; attempt <= TOKEN_FAILURES_MAX; attempt++) {
    expect((await ask(before)).body.error_description).toContain('too old');
  }
  expect((await ask(Math.floor(Date.now() / 1000))).status).toBe(200);
}, 30_000);
