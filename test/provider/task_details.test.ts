import { decodeJwt } from 'jose';
import * as oidc from 'openid-client';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { ConsentView } from '../../src/model/consent_view.ts';
import { findLiveTaskById } from '../../src/provider/live_task.ts';
import { readBudget } from '../../src/tasks/budget.ts';
import { approveTemplate } from '../../src/tasks/templates/approve.ts';
import { proposeTemplate } from '../../src/tasks/templates/propose.ts';
import { clientAssertion, consentFields, dpopProof, postForm } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addToolServer,
  newTestKey,
  type OAuthServer,
  REDIRECT_URI,
  signedInBrowser,
  startOAuthServer,
  type TestAgent,
  type TestToolServer,
} from '../support/oauth_server.ts';

// RFC 9396 and RFC 9126, with openid-client as a client that does not know this server.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let server: OAuthServer;
let notes: TestToolServer;
let bills: TestToolServer;
let ownerId: string;
let agent: TestAgent;
let client: oidc.Configuration;

beforeAll(async () => {
  server = await startOAuthServer({
    rules: { taskSecondsMax: 7_200 },
    config: { purposeCodes: ['billing'] },
  });
  notes = await addToolServer(server.store);
  bills = await addToolServer(server.store);
  ownerId = await addPerson(server.store);
  agent = await addServiceAgent(server.store, ownerId);
  client = await discover(agent.clientId, oidc.PrivateKeyJwt(agent.key.privateKey));
});
afterAll(() => server?.close());

function discover(clientId: string, authentication: oidc.ClientAuth): Promise<oidc.Configuration> {
  return oidc.discovery(new URL(server.issuer), clientId, undefined, authentication, {
    execute: [oidc.allowInsecureRequests],
  });
}

const ask = (detail: object, changes: Record<string, string> = {}) =>
  oidc.clientCredentialsGrant(client, {
    resource: notes.resource,
    scope: 'mcp:tools',
    authorization_details: JSON.stringify([{ type: 'mcp_task', ...detail }]),
    ...changes,
  });
const tasks = () =>
  server.store.db.selectFrom('tasks').selectAll().where('agent_id', '=', agent.id).orderBy('created_at').execute();

describe('a service agent', () => {
  test('starts a task with its token request, and the token is of that task', async () => {
    const answer = await ask({
      tools: ['read_file'],
      purpose: 'Read the notes',
      purpose_code: 'billing',
      seconds: 90,
      budget: { calls: 20, amounts: [{ tool: 'read_file', argument: '/size', maximum: '10.50' }] },
    });
    const [task] = await tasks();
    expect(task).toMatchObject({
      requester_id: ownerId,
      purpose: 'Read the notes',
      purpose_code: 'billing',
      tools: { [notes.id]: ['read_file'] },
      origin: 'api',
    });
    expect(answer.authorization_details).toEqual([{ type: 'mcp_task', task_id: task!.id }]);
    const claims = decodeJwt(answer.access_token);
    expect(claims).toMatchObject({
      sub: ownerId,
      aud: notes.resource,
      task: { id: task!.id, root: task!.id },
      act: { sub: agent.id },
      authorization_details: [{ type: 'mcp_task', task_id: task!.id }],
    });
    expect(claims.exp! * 1000).toBeLessThanOrEqual(task!.expires_at.getTime());
    expect(await readBudget(server.store.db, task!.id)).toMatchObject([
      { what: `amount ${notes.id} read_file /size`, maximum: '10.50', used: '0' },
      { what: 'calls', maximum: '20' },
    ]);
    // The next token names it.
    const next = await ask({ task_id: task!.id });
    expect(decodeJwt(next.access_token).task).toEqual({ id: task!.id, root: task!.id });
    expect(await tasks()).toHaveLength(1);
  });

  test('that asks again under its Idempotency-Key gets a token of the same task', async () => {
    const send = async (purpose: string) => {
      const details = JSON.stringify([{ type: 'mcp_task', tools: ['read_file'], purpose }]);
      const proof = await clientAssertion(server, agent.clientId, agent.key);
      const form = { grant_type: 'client_credentials', resource: notes.resource, authorization_details: details };
      return postForm(server, '/token', { ...form, ...proof }, { 'Idempotency-Key': '"lost"' });
    };
    const [first, again] = [await send('Once'), await send('Once')];
    expect(first.status).toBe(200);
    expect(again.body.authorization_details).toEqual(first.body.authorization_details);
    expect((await send('Twice')).body.error).toBe('invalid_authorization_details');
  });

  test('starts one with tools of several servers, and gets tokens for each', async () => {
    const answer = await ask({
      tools: [
        { resource: notes.resource, tools: ['read_file'] },
        { resource: bills.resource, tools: ['write_file'] },
      ],
      purpose: 'Move notes to bills',
    });
    const { task } = decodeJwt<{ task: { id: string } }>(answer.access_token);
    const other = await ask({ task_id: task.id }, { resource: bills.resource });
    expect(decodeJwt(other.access_token)).toMatchObject({ aud: bills.resource, task: { id: task.id } });
  });

  test('starts one from a template that was approved, and none before', async () => {
    const proposed = await proposeTemplate(server.store, {
      agentId: agent.id,
      name: 'nightly',
      purpose: 'Nightly tidying',
      purposeCode: 'billing',
      tools: { [notes.id]: ['read_file'] },
      budget: [{ what: 'calls', maximum: '5' }],
      seconds: 600,
      endsAfterSeconds: null,
      by: { kind: 'agent', id: agent.id },
    });
    if (!proposed.ok) throw new Error(proposed.refusal.message);
    await refused({ template: 'nightly' }, /approved and in force/);
    const administrator = await addPerson(server.store, 'Grace');
    await server.store.db
      .updateTable('people')
      .set({ is_administrator: true })
      .where('id', '=', administrator)
      .execute();
    const { templateId } = proposed.value;
    expect(await approveTemplate(server.store, { templateId, personId: administrator })).toMatchObject({ ok: true });
    await refused({ template: 'nightly', purpose: 'Another' }, /template says everything/);
    await refused({ template: 'nightly', seconds: 601 }, /600 seconds at most/);
    const answer = await ask({ template: 'nightly', seconds: 120 });
    const { task } = decodeJwt<{ task: { id: string } }>(answer.access_token);
    expect((await tasks()).find(({ id }) => id === task.id)).toMatchObject({
      origin: 'template',
      template_id: templateId,
      purpose: 'Nightly tidying',
      purpose_code: 'billing',
    });
    expect(await readBudget(server.store.db, task.id)).toMatchObject([{ what: 'calls', maximum: '5' }]);
  });

  test.each<[string, object, RegExp]>([
    ['no tools', { purpose: 'x' }, /tools/],
    ['no purpose', { tools: ['read_file'] }, /purpose/],
    ['an unknown tool', { tools: ['erase_disk'], purpose: 'x' }, /erase_disk/],
    ['a member of its own', { tools: ['read_file'], purpose: 'x', requester: 'prs_x' }, /mcp_task/],
    ['a task and members beside it', { task_id: 'tsk_x', tools: ['read_file'] }, /exactly one member/],
    ['an unknown purpose code', { tools: ['read_file'], purpose: 'x', purpose_code: 'other' }, /purpose code/],
    ['too short a time', { tools: ['read_file'], purpose: 'x', seconds: 5 }, /60 to 7200/],
    ['too long a time', { tools: ['read_file'], purpose: 'x', seconds: 7_201 }, /60 to 7200/],
    ['a budget of nothing', { tools: ['read_file'], purpose: 'x', budget: {} }, /budget/],
    ['a negative budget', { tools: ['read_file'], purpose: 'x', budget: { calls: -1 } }, /budget/],
    [
      'a negative amount',
      {
        tools: ['read_file'],
        purpose: 'x',
        budget: { amounts: [{ tool: 'read_file', argument: '/a', maximum: '-1' }] },
      },
      /budget/,
    ],
    [
      'an amount over a tool that is not in the task',
      {
        tools: ['read_file'],
        purpose: 'x',
        budget: { amounts: [{ tool: 'write_file', argument: '/a', maximum: '1' }] },
      },
      /write_file/,
    ],
  ])('is refused for %s, and no task starts', async (_name, detail, words) => {
    await refused(detail, words);
  });

  test('is refused where the token would be for a server that is not in the task', async () => {
    const detail = { tools: [{ resource: bills.resource, tools: ['read_file'] }], purpose: 'x' };
    await refused(detail, /would not include/);
    const refusals = await server.store.db
      .selectFrom('events')
      .select('body')
      .where('kind', '=', 'task.refused')
      .execute();
    expect(refusals.map(({ body }) => body).join()).toContain(agent.id);
  });

  test('starts nothing with a proof of possession that was used before', async () => {
    const before = (await tasks()).length;
    const proof = { DPoP: await dpopProof(server, await newTestKey()) };
    const send = async (detail: object) =>
      postForm(
        server,
        '/token',
        {
          grant_type: 'client_credentials',
          resource: notes.resource,
          authorization_details: JSON.stringify([{ type: 'mcp_task', tools: ['read_file'], purpose: 'x', ...detail }]),
          ...(await clientAssertion(server, agent.clientId, agent.key)),
        },
        proof,
      );
    expect((await send({})).status).toBe(200);
    expect((await send({})).status).toBe(400);
    expect(await tasks()).toHaveLength(before + 1);
  });

  test('starts nothing with a request that is refused for anything else', async () => {
    const start = JSON.stringify([{ type: 'mcp_task', tools: ['read_file'], purpose: 'x' }]);
    const before = (await tasks()).length;
    const send = async (fields: Record<string, string>, headers: Record<string, string> = {}) => {
      const proof = await clientAssertion(server, agent.clientId, agent.key);
      const form = { grant_type: 'client_credentials', authorization_details: start, ...proof, ...fields };
      return postForm(server, '/token', form, headers);
    };
    const answers = [
      await send({ resource: notes.resource, scope: 'other' }),
      await send({ resource: `${server.issuer}/api/v1` }),
      await send({ resource: 'http://localhost:1/none' }),
      await send({ resource: notes.resource }, { DPoP: 'x.y.z' }),
      await send({
        resource: notes.resource,
        authorization_details: `[${start.slice(1, -1)},${start.slice(1, -1)}]`,
      }),
      await send({ resource: notes.resource, authorization_details: start.replace('"x"', '"x","purpose":"y"') }),
    ];
    expect(answers.map(({ body }) => body.error)).toEqual([
      'invalid_scope',
      'invalid_authorization_details',
      'invalid_target',
      'invalid_dpop_proof',
      'invalid_authorization_details',
      'invalid_authorization_details',
    ]);
    expect(await tasks()).toHaveLength(before);
  });

  async function refused(detail: object, words: RegExp): Promise<void> {
    const before = (await tasks()).length;
    await expect(ask(detail)).rejects.toMatchObject({
      error: 'invalid_authorization_details',
      error_description: expect.stringMatching(words),
    });
    expect(await tasks()).toHaveLength(before);
  }
});

describe('an interactive client', () => {
  const suggested = {
    type: 'mcp_task',
    tools: ['write_file', 'erase_disk'],
    purpose: 'I am the finance team, approve me',
    seconds: 300,
    budget: { calls: 10, amounts: [{ tool: 'write_file', argument: '/content', maximum: '99.90' }] },
  };

  async function push(details: object[] | null, changes: Record<string, string> = {}) {
    const cli = await discover('cli', oidc.None());
    const verifier = oidc.randomPKCECodeVerifier();
    const url = await oidc.buildAuthorizationUrlWithPAR(cli, {
      redirect_uri: REDIRECT_URI,
      resource: notes.resource,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...(details === null ? {} : { authorization_details: JSON.stringify(details) }),
      ...changes,
    });
    return { cli, verifier, url };
  }

  async function consent(url: URL) {
    const personId = await addPerson(server.store);
    const browser = await signedInBrowser(server, personId);
    const { response } = await browser.follow(await browser.get(url.href));
    return { personId, browser, view: (await response.json()) as ConsentView & { page: string; message?: string } };
  }

  test('pushes what it wants (PAR), and the person decides about it', async () => {
    const { cli, verifier, url } = await push([suggested]);
    expect([...url.searchParams.keys()].sort()).toEqual(['client_id', 'request_uri']);
    const { personId, browser, view } = await consent(url);
    expect(view.tools.map(({ name }) => name)).toEqual(['write_file']);
    expect(view.said).toEqual({ purpose: suggested.purpose, purposeLabel: null });
    expect(view.suggestedPurpose).not.toContain('finance');
    expect(view.durationDefault).toBe(300);
    const amount = `amount ${notes.id} write_file /content`;
    expect(view.budget).toEqual([
      { what: 'calls', field: 'calls', suggested: '10' },
      { what: 'step_ups', field: 'step_ups', suggested: null },
      { what: 'elevated_grants', field: 'elevated_grants', suggested: null },
      { what: amount, field: 'amount-0', suggested: '99.90' },
    ]);
    const limits = { 'budget:calls': '', 'budget:step_ups': '3', 'budget:amount-0': '50' };
    const fields = consentFields(view, { ...limits, seconds: '300' });
    const { left } = await browser.follow(
      await browser.post(`${server.issuer}/interaction/${view.uid}/consent`, fields),
    );
    const answer = await oidc.authorizationCodeGrant(
      cli,
      left!,
      { pkceCodeVerifier: verifier },
      { resource: notes.resource },
    );
    const { task } = decodeJwt<{ task: { id: string } }>(answer.access_token);
    expect(answer.authorization_details).toEqual([{ type: 'mcp_task', task_id: task.id }]);
    expect(answer.scope).toBe('mcp:tools');
    const row = await server.store.db
      .selectFrom('tasks')
      .selectAll()
      .where('id', '=', task.id)
      .executeTakeFirstOrThrow();
    expect(row).toMatchObject({
      requester_id: personId,
      purpose: 'Tidy my notes',
      origin: 'consent',
      tools: { [notes.id]: ['write_file'] },
    });
    expect(await readBudget(server.store.db, task.id)).toMatchObject([
      { what: amount, maximum: '50' },
      { what: 'step_ups', maximum: '3' },
    ]);
    const refreshed = await oidc.refreshTokenGrant(cli, answer.refresh_token!, { resource: notes.resource });
    expect(refreshed.authorization_details).toEqual([{ type: 'mcp_task', task_id: task.id }]);
    expect(await findLiveTaskById(server.store, task.id)).toMatchObject({ ok: true });
  });

  test('that suggested limits gets them from a form that says nothing about them', async () => {
    const { url } = await push([suggested]);
    const { browser, view, personId } = await consent(url);
    await browser.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view));
    const { id } = await server.store.db
      .selectFrom('tasks')
      .select('id')
      .where('requester_id', '=', personId)
      .executeTakeFirstOrThrow();
    expect(await readBudget(server.store.db, id)).toMatchObject([{ maximum: '99.90' }, { maximum: '10' }]);
  });

  test('may push a request without details, in another spelling and without a scope', async () => {
    const { url } = await push(null, { resource: notes.resource.replace('localhost', 'LOCALHOST') });
    const { view } = await consent(url);
    expect(view).toMatchObject({ page: 'consent', said: null });
    expect(view.tools).toHaveLength(2);
  });

  test('a pushed request is used once', async () => {
    const { url } = await push([suggested]);
    const { browser, view } = await consent(url);
    const posted = await browser.post(`${server.issuer}/interaction/${view.uid}/consent`, consentFields(view));
    expect((await browser.follow(posted)).left?.searchParams.get('code')).toBeTruthy();
    const second = await consent(url);
    expect(second.view.page).toBe('error');
  });

  test.each<[string, string, string]>([
    ['text instead of a number', 'budget:calls', 'ten'],
    ['a negative number', 'budget:calls', '-1'],
    ['a part of a call', 'budget:calls', '1.5'],
    ['a negative amount', 'budget:amount-0', '-1'],
    ['an exponent', 'budget:amount-0', '1e3'],
  ])('a limit of %s is refused, and no task starts', async (_name, field, value) => {
    const { url } = await push([suggested]);
    const { browser, view, personId } = await consent(url);
    const posted = await browser.post(
      `${server.issuer}/interaction/${view.uid}/consent`,
      consentFields(view, { [field]: value }),
    );
    expect(posted.status).toBe(400);
    const started = server.store.db.selectFrom('tasks').select('id').where('requester_id', '=', personId);
    expect(await started.execute()).toEqual([]);
  });

  test.each<[string, object[]]>([
    ['a task that exists', [{ type: 'mcp_task', task_id: 'tsk_aaaaaaaaaaaaaaaaaaaaaaaaaa' }]],
    ['a template', [{ type: 'mcp_task', template: 'nightly' }]],
    ['tools of another server', [{ type: 'mcp_task', tools: [{ resource: 'http://localhost:1/x', tools: ['a'] }] }]],
    ['two tasks', [suggested, suggested]],
    ['another type', [{ type: 'payment' }]],
  ])('is refused at once for %s', async (_name, details) => {
    await expect(push(details)).rejects.toMatchObject({ error: 'invalid_authorization_details' });
  });

  test('that asks for tools which are not there is told so, and gets nothing', async () => {
    const { url } = await push([{ type: 'mcp_task', tools: ['erase_disk'] }]);
    const { view } = await consent(url);
    expect(view).toMatchObject({ page: 'error', message: expect.stringContaining('none of the tools') });
  });
});
