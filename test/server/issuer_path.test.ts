import { createHash, randomBytes } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { textOf } from '../../examples/demo/scripted_person.ts';
import { freePort } from '../../src/cli/dev.ts';
import { newId } from '../../src/kernel/ids.ts';
import { GUARD_API } from '../../src/wire/guard_api.ts';
import { RawAgent } from '../api/raw_agent.ts';
import { RawGuard } from '../api/raw_guard.ts';
import { startWorld, type World } from '../e2e/world.ts';

// Everything of an issuer with a path, as behind a proxy that gives it a part of a site.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const REDIRECT = 'http://127.0.0.1:1/callback';

let world: World;
let origin: string;
let guard: RawGuard;

beforeAll(async () => {
  const port = await freePort();
  origin = `http://localhost:${port}`;
  const config = { issuer: `${origin}/auth`, 'listen.port': port };
  world = await startWorld({ hasGateway: false, clients: ['editor'], config });
  guard = await RawGuard.listen(world.issuer, 'notes');
  await guard.register();
});
afterAll(async () => {
  await guard?.close();
  await world?.close();
});

test('discovery is where clients look, and every endpoint is below the path', async () => {
  const documents = [
    `${origin}/.well-known/oauth-authorization-server/auth`,
    `${origin}/.well-known/openid-configuration/auth`,
    `${world.issuer}/.well-known/openid-configuration`,
  ];
  for (const url of documents) {
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    const metadata = (await answer.json()) as Record<string, unknown>;
    expect(metadata.issuer).toBe(world.issuer);
    const endpoints = Object.entries(metadata).filter(([name]) => /_endpoint$|^jwks_uri$/.test(name));
    expect(endpoints.length).toBeGreaterThan(4);
    for (const [, value] of endpoints) expect(value).toMatch(new RegExp(`^${world.issuer}/`));
  }
  expect((await fetch(`${world.issuer}/jwks`)).status).toBe(200);
  expect((await fetch(`${origin}/jwks`)).status).toBe(404);
  expect((await fetch(`${origin}/livez`)).status).toBe(200);
});

test('every page an administrator opens is found, and every address on it is below the path', async () => {
  for (const path of ['/', '/tool-servers', '/agents', '/tasks', '/people', '/audit', '/account']) {
    const page = await world.operator.open(`${world.issuer}${path}`);
    expect([path, page.status]).toEqual([path, 200]);
    const addresses = [...page.html.matchAll(/ (?:href|action|src)="(\/[^"]*)"/g)].map((found) => found[1]!);
    expect(addresses.length).toBeGreaterThan(5);
    for (const address of addresses) expect(address).toMatch(/^\/auth(\/|$)/);
  }
  const assets = await fetch(`${world.issuer}/assets/console.css`);
  expect(assets.headers.get('content-type')).toMatch(/^text\/css/);
  const outside = await fetch(`${origin}/tool-servers`);
  expect(outside.status).toBe(404);
});

test('who is not signed in is sent to sign in below the path, and comes back', async () => {
  const answer = await fetch(`${world.issuer}/tasks`, { redirect: 'manual', headers: { accept: 'text/html' } });
  const location = new URL(answer.headers.get('location')!, world.issuer);
  expect(location.pathname).toBe('/auth/sign-in');
  expect(location.searchParams.get('return_to')).toMatch(/^(\/auth)?\/tasks$/);
});

test('from registration over consent to an approved call, all below the path', async () => {
  const accepted = await world.operator.submit(
    await world.operator.open(`${world.issuer}/tool-servers/${guard.toolServerId}`),
    { action: /^\/auth\/tool-servers\/.*\/accept$/ },
  );
  expect([accepted.status, textOf(accepted.html)]).toEqual([200, expect.stringContaining('accepted')]);

  const verifier = randomBytes(32).toString('base64url');
  const trip = new URLSearchParams({
    client_id: 'editor',
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'mcp:tools offline_access',
    state: 'of-the-client',
    resource: guard.resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const consent = await world.operator.open(`${world.issuer}/authorize?${trip}`);
  expect(new URL(consent.url).pathname).toMatch(/^\/auth\/interaction\//);
  const form = { action: /^\/auth\/interaction\/.*\/consent$/, having: { decision: 'allow' } };
  const back = await world.operator.submit(consent, form, { seconds: '3600' });
  const answer = new URL(back.url).searchParams;
  expect(Object.fromEntries(answer)).toMatchObject({ iss: world.issuer, state: 'of-the-client' });
  const exchanged = await fetch(`${world.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      ...{ grant_type: 'authorization_code', client_id: 'editor', redirect_uri: REDIRECT },
      ...{ code: answer.get('code')!, code_verifier: verifier },
    }),
  });
  const { access_token: token } = (await exchanged.json()) as { access_token: string };
  expect(decodeJwt(token)).toMatchObject({ iss: world.issuer, aud: guard.resource, sub: world.operatorId });

  const question = guard.question(token, 'write_note', { path: 'a', content: 'b' });
  const asked = (await guard.send(GUARD_API.evaluate, { body: question })).body;
  expect(asked.step_up.approval_url).toMatch(new RegExp(`^${world.issuer}/step-ups/`));
  const step_up_id = asked.step_up.step_up_id;
  const challenge = await guard.signChallenge(asked.txn, question.action);
  await guard.send(GUARD_API.challenges, { body: { step_up_id, challenge } });
  const page = await world.operator.open(asked.step_up.approval_url);
  const decided = await world.operator.submit(page, {
    action: /^\/auth\/.*\/decision$/,
    having: { decision: 'approve' },
  });
  expect(decided.status).toBe(200);
  const redeemed = await guard.send(GUARD_API.redeem, { body: { ...question, attempt_id: newId('att') } });
  expect(redeemed.body).toMatchObject({ step_up_id, repeated: false });
});

test('a service agent starts a task and gets its token below the path', async () => {
  const agent = await RawAgent.register(world);
  const taskId = await agent.startTask(guard);
  expect(decodeJwt(await agent.taskToken(guard, taskId))).toMatchObject({ iss: world.issuer, task: { id: taskId } });
  expect((await agent.end(taskId)).status).toBe(200);
});
