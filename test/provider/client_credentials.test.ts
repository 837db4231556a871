import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clientAssertion, dpopProof, guardToken, postForm } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addTask,
  addToolServer,
  type OAuthServer,
  startOAuthServer,
  type TestAgent,
  type TestToolServer,
} from '../support/oauth_server.ts';

let server: OAuthServer;
let toolServer: TestToolServer;
let agent: TestAgent;
let personId: string;
let taskId: string;

beforeAll(async () => {
  server = await startOAuthServer();
  toolServer = await addToolServer(server.store);
  personId = await addPerson(server.store);
  agent = await addServiceAgent(server.store, personId);
  taskId = await newTask(agent);
});
afterAll(() => server.close());

const newTask = (of: TestAgent, tools: Record<string, string[]> = { [toolServer.id]: ['read_file'] }) =>
  addTask(server.store, { agentId: of.id, clientId: of.clientId, requesterId: personId, tools });

async function agentToken(of: TestAgent, fields: Record<string, string>, headers: Record<string, string> = {}) {
  const assertion = await clientAssertion(server, of.clientId, of.key);
  return postForm(server, '/token', { grant_type: 'client_credentials', ...assertion, ...fields }, headers);
}

const taskFields = (id: string, resource = toolServer.resource) => ({
  resource,
  authorization_details: JSON.stringify([{ type: 'mcp_task', task_id: id }]),
});

test('a guard gets a DPoP-bound token for the guard API, in the name of its tool server', async () => {
  const answer = await guardToken(server, toolServer);
  expect(answer.body).toMatchObject({ token_type: 'DPoP', scope: 'guard', expires_in: 300 });
  expect(decodeJwt(answer.body.access_token!)).toMatchObject({
    sub: toolServer.id,
    client_id: toolServer.clientId,
    aud: `${server.issuer}/guard/v1`,
    cnf: { jkt: toolServer.key.thumbprint },
  });
});

test('a guard without a DPoP proof gets no token', async () => {
  const answer = await agentToken(toolServer, { resource: `${server.issuer}/guard/v1` });
  expect(answer.status).toBe(400);
  expect(answer.body.error).toBe('invalid_grant');
});

test('a guard gets tokens for nothing else: not its own tool server, not the API for agents', async () => {
  const DPoP = await dpopProof(server, toolServer.key);
  const own = await agentToken(toolServer, { resource: toolServer.resource }, { DPoP });
  expect(own.body.error).toBe('invalid_authorization_details');
  const api = await agentToken(toolServer, { resource: `${server.issuer}/api/v1` }, { DPoP });
  expect(api.body.error).toBe('invalid_target');
});

test.each(['suspended', 'rejected'] as const)('the guard of a %s tool server gets no token', async (state) => {
  const stopped = await addToolServer(server.store, state);
  expect((await guardToken(server, stopped)).body.error).toBe('invalid_target');
});

test('a service agent gets a token for the API of the issuer, in its own name', async () => {
  const answer = await agentToken(agent, { resource: `${server.issuer}/api/v1` });
  expect(answer.body).toMatchObject({ scope: 'tasks', token_type: 'Bearer' });
  const claims = decodeJwt(answer.body.access_token!);
  expect(claims).toMatchObject({ sub: agent.id, client_id: agent.clientId, aud: `${server.issuer}/api/v1` });
  expect(claims).not.toHaveProperty('task');
});

test('a service agent gets a token for a tool server by naming its task: the person is the subject, it acts', async () => {
  const answer = await agentToken(agent, taskFields(taskId));
  expect(answer.body).toMatchObject({
    scope: 'mcp:tools',
    authorization_details: [{ type: 'mcp_task', task_id: taskId }],
  });
  expect(decodeJwt(answer.body.access_token!)).toMatchObject({
    sub: personId,
    act: { sub: agent.id, client_id: agent.clientId },
    client_id: agent.clientId,
    aud: toolServer.resource,
    task: { id: taskId, root: taskId },
    authorization_details: [{ type: 'mcp_task', task_id: taskId }],
  });
});

test('a token for a tool server without a task, or with another’s, an ended or an unfitting one, is refused', async () => {
  const stranger = await addServiceAgent(server.store, personId);
  const ended = await newTask(agent);
  await server.store.db.updateTable('tasks').set({ state: 'completed' }).where('id', '=', ended).execute();
  const late = await newTask(agent);
  await server.store.db.updateTable('tasks').set({ expires_at: new Date() }).where('id', '=', late).execute();
  const elsewhere = await newTask(agent, { tsv_other: ['x'] });
  const attempts = {
    none: await agentToken(agent, { resource: toolServer.resource }),
    others: await agentToken(stranger, taskFields(taskId)),
    unknown: await agentToken(agent, taskFields('tsk_aaaaaaaaaaaaaaaaaaaaaaaaaa')),
    ended: await agentToken(agent, taskFields(ended)),
    late: await agentToken(agent, taskFields(late)),
    elsewhere: await agentToken(agent, taskFields(elsewhere)),
    atApi: await agentToken(agent, taskFields(taskId, `${server.issuer}/api/v1`)),
    more: await agentToken(agent, {
      resource: toolServer.resource,
      authorization_details: JSON.stringify([{ type: 'mcp_task', task_id: taskId, tools: ['x'] }]),
    }),
    two: await agentToken(agent, {
      resource: toolServer.resource,
      authorization_details: JSON.stringify([1, 2].map(() => ({ type: 'mcp_task', task_id: taskId }))),
    }),
  };
  for (const [what, answer] of Object.entries(attempts)) {
    expect(answer.body.error, what).toBe('invalid_authorization_details');
    expect(answer.status, what).toBe(400);
  }
  expect(attempts.others.body.error_description).toBe(attempts.unknown.body.error_description);
});

test('an agent that is not active gets no token', async () => {
  const suspended = await addServiceAgent(server.store, personId);
  const task = await newTask(suspended);
  await server.store.db.updateTable('agents').set({ state: 'suspended' }).where('id', '=', suspended.id).execute();
  expect((await agentToken(suspended, taskFields(task))).body.error).toBe('invalid_authorization_details');
  expect((await agentToken(suspended, { resource: `${server.issuer}/api/v1` })).body.error).toBe('unauthorized_client');
});

test('the resource is required, and a scope that is not there is refused instead of answered by an empty token', async () => {
  expect((await agentToken(agent, {})).body.error).toBe('invalid_target');
  const admin = await agentToken(agent, { resource: `${server.issuer}/api/v1`, scope: 'admin' });
  expect(admin.body.error).toBe('invalid_scope');
});

test('machines have no other grant, and no shared secret', async () => {
  const code = await postForm(server, '/token', {
    grant_type: 'authorization_code',
    code: 'x',
    redirect_uri: 'http://127.0.0.1/',
    ...(await clientAssertion(server, agent.clientId, agent.key)),
  });
  expect(code.body.error).toBe('invalid_request');
  const secret = await postForm(server, '/token', {
    grant_type: 'client_credentials',
    client_id: agent.clientId,
    resource: `${server.issuer}/api/v1`,
  });
  expect(secret.body.error).toBe('invalid_client');
});

test.each([
  ['without iat', { iat: undefined }],
  ['with a long life', { exp: Math.floor(Date.now() / 1000) + 7200 }],
  ['from before the marks of used ones begin', { iat: Math.floor(Date.now() / 1000) - 300 }],
  ['without jti', { jti: undefined }],
  ['that has expired', { exp: Math.floor(Date.now() / 1000) - 1 }],
])('a client assertion %s is refused', async (_what, claims) => {
  const assertion = await clientAssertion(server, agent.clientId, agent.key, { claims });
  const answer = await agentToken(agent, { resource: `${server.issuer}/api/v1`, ...assertion });
  expect(answer.status).toBe(401);
  expect(answer.body.error).toBe('invalid_client');
});

test('a DPoP proof from before the marks of used ones begin is refused', async () => {
  const old = await dpopProof(server, toolServer.key, { iat: Math.floor(Date.now() / 1000) - 50 });
  const answer = await agentToken(toolServer, { resource: `${server.issuer}/guard/v1` }, { DPoP: old });
  expect(answer.body.error).toBe('invalid_dpop_proof');
});

test.each([
  ['for another method', { htm: 'GET' }],
  ['for another address', { htu: 'https://evil.example/token' }],
  ['with an address that is no text', { htu: 7 }],
  ['with a time that is no number', { iat: 'now' }],
])('T22: a DPoP proof %s is refused', async (_what, changes) => {
  const DPoP = await dpopProof(server, toolServer.key, changes);
  const answer = await agentToken(toolServer, { resource: `${server.issuer}/guard/v1` }, { DPoP });
  expect(answer.body.error).toBe('invalid_dpop_proof');
});
