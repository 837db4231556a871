import { decodeJwt } from 'jose';
import type { Context } from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TokenVerifier } from '../../src/api/bearer.ts';
import { openKeyring } from '../../src/keys/keyring.ts';
import { tokenVerificationKeys } from '../../src/keys/verification_keys.ts';
import type { Acting } from '../../src/model/acting.ts';
import { resumeAgent } from '../../src/tasks/revoke/resume_agent.ts';
import { suspendAgent } from '../../src/tasks/revoke/suspend_agent.ts';
import {
  ACCESS_TOKEN,
  addRow,
  approvePeers,
  exchange,
  ownToken,
  type Row,
  refusalsIn,
  TOKEN_EXCHANGE,
  taskToken,
} from '../support/hops.ts';
import { dpopProof, obtainTokens, postForm, refresh } from '../support/oauth_flow.ts';
import {
  addPerson,
  newTestKey,
  type OAuthServer,
  signedInBrowser,
  startOAuthServer,
  testClient,
} from '../support/oauth_server.ts';

// Tokens in the hands of somebody else: what they can be made into.

let server: OAuthServer;
let row: Row;
const by: Acting = { kind: 'server', id: 'server' };

beforeAll(async () => {
  const grants = ['authorization_code', 'refresh_token', TOKEN_EXCHANGE];
  server = await startOAuthServer({ clients: [testClient('cli', { grant_types: grants })] });
  row = await addRow(server, 2);
});
afterAll(() => server.close());

const agent = (index: number) => row.agents[index]!;
const desk = (index: number) => row.desks[index]!;

test('whoever steals the token of a client without credentials hands it to nobody in its name', async () => {
  const personId = await addPerson(server.store, 'Ada');
  const browser = await signedInBrowser(server, personId);
  const { accessToken } = await obtainTokens(server, browser, { resource: desk(0).resource });
  const client = await server.store.db
    .updateTable('agents')
    .set({ delegation_depth_max: 1 })
    .where('person_id', '=', personId)
    .returning(['id', 'client_id'])
    .executeTakeFirstOrThrow();
  await approvePeers(server.store, { ...agent(0), id: client.id }, agent(1));
  const key = await newTestKey();
  // The second agent acts at another address, and yet has the token of this one.
  const answer = await postForm(
    server,
    '/token',
    {
      grant_type: TOKEN_EXCHANGE,
      client_id: client.client_id,
      subject_token: accessToken,
      subject_token_type: ACCESS_TOKEN,
      actor_token: await ownToken(server, agent(1), { key }),
      actor_token_type: ACCESS_TOKEN,
      resource: desk(0).resource,
    },
    { DPoP: await dpopProof(server, key) },
  );
  expect(answer.body).toMatchObject({ error: 'invalid_dpop_proof' });
  expect((await refusalsIn(server.store)).at(-1)).toBe('key_not_proven');
});

test('an actor token of before a suspension names nobody work could be bound to when the agent is resumed', async () => {
  const stolen = await newTestKey();
  const actor = await ownToken(server, agent(1), { key: stolen });
  const subject = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource });
  const hand = () => exchange(server, agent(0), { subject, resource: desk(2).resource, actor });
  expect(decodeJwt((await hand()).body.access_token!)).toMatchObject({ cnf: { jkt: stolen.thumbprint } });
  await suspendAgent(server.store, { agentId: agent(1).id, by, reason: 'Its key was stolen.' });
  await resumeAgent(server.store, { agentId: agent(1).id, by, reason: '' });
  expect((await hand()).body.access_token).toBeUndefined();
  expect((await refusalsIn(server.store)).at(-1)).toBe('actor_invalid');
});

test('a refresh token of before a suspension stays dead when its client is resumed', async () => {
  const personId = await addPerson(server.store, 'Grace');
  const browser = await signedInBrowser(server, personId);
  const { refreshToken } = await obtainTokens(server, browser, { resource: desk(0).resource });
  const { id: agentId } = await server.store.db
    .selectFrom('agents')
    .select('id')
    .where('person_id', '=', personId)
    .executeTakeFirstOrThrow();
  await suspendAgent(server.store, { agentId, by, reason: 'Its refresh token was stolen.' });
  await resumeAgent(server.store, { agentId, by, reason: '' });
  const answer = await refresh(server, refreshToken);
  expect(answer.body).toMatchObject({
    error: 'invalid_grant',
    error_description: expect.stringContaining('suspended'),
  });
});

test('a token of an agent for the API of the issuer, of before a suspension, stays dead too', async () => {
  const keyring = await openKeyring(server.store);
  const tokens = new TokenVerifier(server.store, tokenVerificationKeys(keyring));
  await keyring.stop();
  const audience = `${server.issuer}/api/v1`;
  const authenticate = (token: string) =>
    tokens.authenticate({ get: () => `Bearer ${token}` } as unknown as Context, {
      ...{ audience, scope: 'tasks', isProofRequired: false },
    });
  const token = await ownToken(server, agent(0));
  expect(await authenticate(token)).toMatchObject({ ok: true });
  await suspendAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  await resumeAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  expect(await authenticate(token)).toMatchObject({ refusal: { code: 'token_invalid' } });
});
