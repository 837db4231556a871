import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import type { StepUpWaitingView } from '../../src/model/step_up_waiting_view.ts';
import type { StepUpsTable } from '../../src/store/postgres/tables.ts';
import { newPkce, type OAuthBrowser } from '../support/oauth_browser.ts';
import { authorizeAddress, obtainTokens, redeemCode, refresh } from '../support/oauth_flow.ts';
import {
  addPerson,
  addToolServer,
  type OAuthServer,
  signedInBrowser,
  startOAuthServer,
  type TestToolServer,
  testClient,
} from '../support/oauth_server.ts';

let server: OAuthServer;
let toolServer: TestToolServer;
let browser: OAuthBrowser;
let personId: string;

beforeAll(async () => {
  server = await startOAuthServer({ clients: [testClient('cli'), testClient('other')] });
  toolServer = await addToolServer(server.store);
  personId = await addPerson(server.store);
  browser = await signedInBrowser(server, personId);
});
afterAll(() => server.close());

type Tokens = Awaited<ReturnType<typeof obtainTokens>>;
const taskOf = (claims: Record<string, unknown>) => (claims.task as { id: string }).id;

async function openStepUp(
  tokens: Tokens,
  changes: Partial<Pick<StepUpsTable, 'state' | 'client_id'>> = {},
): Promise<string> {
  const taskId = taskOf(tokens.claims);
  const task = await server.store.db.selectFrom('tasks').selectAll().where('id', '=', taskId).executeTakeFirstOrThrow();
  const delegation = await server.store.db
    .selectFrom('delegations')
    .selectAll()
    .where('task_id', '=', taskId)
    .executeTakeFirstOrThrow();
  const id = newId('stp');
  await server.store.db
    .insertInto('step_ups')
    .values({
      id,
      txn: newId('txn'),
      state: 'open',
      revision: 1,
      binding_digest: id,
      action_digest: id,
      requester_id: task.requester_id,
      agent_id: task.agent_id,
      task_id: task.id,
      delegation_id: delegation.id,
      client_id: task.client_id,
      tool_server_id: toolServer.id,
      tool_name: 'write_file',
      risk: 'write',
      policy_version: '1',
      requirements: JSON.stringify({ gates: [] }),
      action_sealed: null,
      data_key_wrapped: null,
      challenge: null,
      guard_instance: 'gin_x',
      reason: null,
      opened_at: new Date(),
      expires_at: new Date(Date.now() + 600_000),
      decided_at: null,
      ...changes,
    })
    .execute();
  return id;
}

async function setState(stepUpId: string, state: 'approved' | 'denied'): Promise<void> {
  await server.store.db.updateTable('step_ups').set({ state }).where('id', '=', stepUpId).execute();
  if (state !== 'approved') return;
  await server.store.db
    .insertInto('grants')
    .values({
      id: newId('gra'),
      step_up_id: stepUpId,
      binding_digest: stepUpId,
      gates: '[]',
      max_uses: 1,
      expires_at: new Date(Date.now() + 300_000),
      revoked_at: null,
    })
    .execute();
}

/** The page the browser lands on, and the verifier of the trip. */
async function openTrip(scope: string, by = browser, clientId = 'cli', changes: Record<string, string> = {}) {
  const pkce = newPkce();
  const address = authorizeAddress(server, { resource: toolServer.resource, scope, pkce, clientId, changes });
  const { response } = await by.follow(await by.get(address));
  return { pkce, page: (await response.json()) as { page: string; returnTo?: string } };
}

async function waitingPage(returnTo: string): Promise<StepUpWaitingView & { page: string }> {
  const response = await browser.get(`${server.issuer}${returnTo}`);
  return (await response.json()) as StepUpWaitingView & { page: string };
}

async function finish(view: StepUpWaitingView): Promise<URLSearchParams> {
  const posted = await browser.post(`${server.issuer}${view.continueUrl}`, { csrf: view.csrf });
  expect(posted.status).toBe(303);
  const { left } = await browser.follow(posted);
  return left!.searchParams;
}

test('an approved step-up: the page, one click, a base token of the same task, and the scope only in the answer', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const id = await openStepUp(tokens);
  const dead = newId('stp');
  const { page, pkce } = await openTrip(`mcp:tools step_up:${dead} step_up:${id} offline_access`);
  expect(page).toMatchObject({ page: 'step_up', returnTo: expect.stringMatching(/^\/interaction\/[\w-]+\/continue$/) });
  const waiting = await waitingPage(page.returnTo!);
  expect(waiting).toMatchObject({ page: 'waiting', state: 'open', stepUpId: id, refreshSeconds: 3 });
  await setState(id, 'approved');
  const decided = await waitingPage(page.returnTo!);
  expect(decided).toMatchObject({ page: 'waiting', state: 'approved', refreshSeconds: null });

  const params = await finish(decided);
  const answer = await redeemCode(server, params.get('code')!, pkce);
  expect(answer.body.scope).toBe(`mcp:tools step_up:${id}`);
  const claims = decodeJwt(answer.body.access_token!);
  expect(claims).toMatchObject({ scope: 'mcp:tools', task: tokens.claims.task, act: tokens.claims.act });

  const refreshed = await refresh(server, answer.body.refresh_token!);
  expect(refreshed.body.scope).toBe('mcp:tools');
  const lane = await server.store.db
    .selectFrom('client_lanes')
    .select('scope_lane')
    .where('client_id', '=', 'cli')
    .executeTakeFirst();
  expect(lane?.scope_lane).toBe('works');
});

test('what the v2 client sends after a challenge, offline_access with prompt=consent, asks nothing twice', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const id = await openStepUp(tokens);
  const scope = `mcp:tools step_up:${id} offline_access openid`;
  const { page, pkce } = await openTrip(scope, browser, 'cli', { prompt: 'consent' });
  const params = await finish(await waitingPage(page.returnTo!));
  const answer = await redeemCode(server, params.get('code')!, pkce);
  expect(taskOf(decodeJwt(answer.body.access_token!))).toBe(taskOf(tokens.claims));
});

test('the tokens are of the same family: reuse in one branch kills the other', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const id = await openStepUp(tokens);
  const { page, pkce } = await openTrip(`mcp:tools step_up:${id}`);
  const answer = await redeemCode(server, (await finish(await waitingPage(page.returnTo!))).get('code')!, pkce);
  expect((await refresh(server, tokens.refreshToken)).status).toBe(200);
  expect((await refresh(server, tokens.refreshToken)).body.error).toBe('invalid_grant');
  expect((await refresh(server, answer.body.refresh_token!)).body.error).toBe('invalid_grant');
});

test.each(['denied', 'undecided'])(
  'a step-up that is %s ends with the base scope, never with an error',
  async (how) => {
    const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
    const id = await openStepUp(tokens);
    const { page, pkce } = await openTrip(`mcp:tools step_up:${id}`);
    const waiting = await waitingPage(page.returnTo!);
    if (how === 'denied') await setState(id, 'denied');
    const params = await finish(waiting);
    expect(params.has('error')).toBe(false);
    const answer = await redeemCode(server, params.get('code')!, pkce);
    expect(answer.status).toBe(200);
    expect(answer.body.scope).toBe('mcp:tools');
    expect(taskOf(decodeJwt(answer.body.access_token!))).toBe(taskOf(tokens.claims));
  },
);

test('nothing of a step-up is stored with the grant or the refresh token', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const id = await openStepUp(tokens);
  await setState(id, 'approved');
  const { page, pkce } = await openTrip(`mcp:tools step_up:${id}`);
  const answer = await redeemCode(server, (await finish(await waitingPage(page.returnTo!))).get('code')!, pkce);
  const { provider } = server.oauth;
  const stored = await provider.RefreshToken.find(answer.body.refresh_token!);
  expect(stored?.scope).toBe('mcp:tools');
  const grant = await provider.Grant.find(stored!.grantId!);
  expect(grant?.getResourceScope(toolServer.resource)).toBe('mcp:tools');
});

test('ids that are unknown, decided, of another client or another person are ignored: an ordinary consent', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const denied = await openStepUp(tokens, { state: 'denied' });
  const others = await openStepUp(tokens, { client_id: 'other' });
  const stranger = await signedInBrowser(server, await addPerson(server.store, 'Bob'));
  const mine = await openStepUp(tokens);
  for (const id of [newId('stp'), denied, others, 'x']) {
    expect((await openTrip(`mcp:tools step_up:${id}`)).page.page, id).toBe('consent');
  }
  expect((await openTrip(`mcp:tools step_up:${mine}`, stranger)).page.page).toBe('consent');
  expect((await openTrip(`mcp:tools step_up:${mine}`, browser, 'other')).page.page).toBe('consent');
  expect((await openTrip(`step_up:${mine}`)).page.page).toBe('step_up');
  const spent = await obtainTokens(server, browser, { resource: toolServer.resource, scope: `step_up:${denied}` });
  expect(spent.body.scope).toBe('mcp:tools');
});

test('the trip ends only by a click: no page but the form sends the browser on', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const id = await openStepUp(tokens);
  await setState(id, 'approved');
  const { page } = await openTrip(`mcp:tools step_up:${id}`);
  const waiting = await waitingPage(page.returnTo!);
  const address = `${server.issuer}${waiting.continueUrl}`;
  expect((await browser.post(address, { csrf: 'x' })).status).toBe(403);
  expect((await browser.post(address, { csrf: waiting.csrf }, { origin: 'https://evil.example' })).status).toBe(403);
  expect((await waitingPage(page.returnTo!)).page).toBe('waiting');
});

test('a task that ended while the tab waited gives no tokens', async () => {
  const tokens = await obtainTokens(server, browser, { resource: toolServer.resource });
  const id = await openStepUp(tokens);
  const { page } = await openTrip(`mcp:tools step_up:${id}`);
  const waiting = await waitingPage(page.returnTo!);
  await server.store.db
    .updateTable('tasks')
    .set({ state: 'completed' })
    .where('id', '=', taskOf(tokens.claims))
    .execute();
  const params = await finish(waiting);
  expect(params.get('error')).toBe('access_denied');
});
