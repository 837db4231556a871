import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { callWithApproval, readStepUp } from '../../src/agent/index.ts';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

interface CallOptions {
  readonly onprogress?: (progress: { message?: string }) => void;
  readonly signal?: AbortSignal;
}

interface CallResult {
  readonly isError?: boolean;
  readonly content: readonly { readonly text?: string }[];
}

/** A real client of some SDK and era, connected to the guarded server. */
interface Connected {
  call(text: string, options?: CallOptions): Promise<CallResult>;
  tools(): Promise<string[]>;
  close(): Promise<void>;
}

const CLIENTS: Record<string, (server: GuardedServer) => Promise<Connected>> = {
  'v2 client, 2026-07-28': (server) => connectV2(server, '2026-07-28'),
  'v2 client, 2025-11-25': (server) => connectV2(server, null),
  'v1 client': connectV1,
};

async function connectV2(server: GuardedServer, revision: string | null): Promise<Connected> {
  const client = new Client(
    { name: 'test', version: '1' },
    revision === null ? {} : { versionNegotiation: { mode: { pin: revision } } },
  );
  const authProvider = { token: () => server.issuer.token() };
  await client.connect(new StreamableHTTPClientTransport(new URL(server.resource), { authProvider }));
  return {
    call: (text, options) =>
      client.callTool({ name: 'write_note', arguments: { text } }, options as never) as unknown as Promise<CallResult>,
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    close: () => client.close(),
  };
}

async function connectV1(server: GuardedServer): Promise<Connected> {
  const client = new ClientV1({ name: 'test', version: '1' });
  const headers = { authorization: `Bearer ${await server.issuer.token()}` };
  await client.connect(new TransportV1(new URL(server.resource), { requestInit: { headers } }) as never);
  return {
    call: (text, options) =>
      client.callTool(
        { name: 'write_note', arguments: { text } },
        CallToolResultSchema,
        options as never,
      ) as unknown as Promise<CallResult>,
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    close: () => client.close(),
  };
}

let server: GuardedServer;
beforeEach(async () => {
  server = await startGuardedServer();
});
afterEach(() => server.close());

for (const [name, connect] of Object.entries(CLIENTS)) {
  test(`${name}: tools are listed as the task allows; without progress a call is answered to be retried`, async () => {
    const client = await connect(server);
    expect(await client.tools()).toEqual(['read_notes', 'write_note']);
    const verdict = readStepUp(await client.call('retry'));
    expect(verdict).toMatchObject({ kind: 'waiting', state: 'open' });
    server.issuer.decide(await server.issuer.nextOpen(), 'approved');
    expect((await client.call('retry')).content[0]!.text).toBe('wrote retry');
    expect(readStepUp(await client.call('retry'))).toMatchObject({ kind: 'replayed', outcome: 'done' });
    expect(server.runs).toHaveLength(1);
    await client.close();
  });

  test(`${name}: with progress the call is held, tells where it is decided, and finishes`, async () => {
    const client = await connect(server);
    const messages: string[] = [];
    const call = client.call('held', { onprogress: ({ message }) => messages.push(message ?? '') });
    const stepUp = await server.issuer.nextOpen();
    await waitFor(() => messages.length > 0);
    expect(messages[0]).toContain(`/step-ups/${stepUp.id}`);
    expect(server.runs).toHaveLength(0);
    server.issuer.decide(stepUp, 'approved');
    expect((await call).content[0]!.text).toBe('wrote held');
    expect(server.runs).toHaveLength(1);
    expect(stepUp.redemption?.outcome).toBe('done');
    await client.close();
  });

  test(`${name}: a held call that is denied ends with the approver's reason`, async () => {
    const client = await connect(server);
    const call = client.call('denied', { onprogress: () => {} });
    server.issuer.decide(await server.issuer.nextOpen(), 'denied', 'wrong folder');
    const result = await call;
    expect(result.isError).toBe(true);
    expect(result.content[0]!.text).toContain('wrong folder');
    expect(readStepUp(result)).toMatchObject({ kind: 'refused', code: 'step_up_denied' });
    await client.close();
  });
}

test('an explicit cancel withdraws a held call; it does not run when somebody approves all the same', async () => {
  const client = await CLIENTS['v2 client, 2025-11-25']!(server);
  const cancel = new AbortController();
  const call = client.call('cancelled', { onprogress: () => {}, signal: cancel.signal });
  const stepUp = await server.issuer.nextOpen();
  await waitFor(() => stepUp.waiters.length > 0);
  cancel.abort();
  await expect(call).rejects.toThrow();
  await waitFor(() => stepUp.state === 'withdrawn');
  server.issuer.decide(stepUp, 'approved');
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(server.runs).toHaveLength(0);
  await client.close();
});

test('a cancel by another principal changes nothing', async () => {
  const held = server.call('write_note', { text: 'mine' }, { id: 5, meta: { progressToken: 1 } });
  const stepUp = await server.issuer.nextOpen();
  const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 5 } };
  const other = await server.issuer.token({ claims: { sub: 'prs_other' } });
  expect((await server.post(JSON.stringify(cancel), { authorization: `Bearer ${other}` })).status).toBe(202);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(stepUp.state).toBe('open');
  server.issuer.decide(stepUp, 'approved');
  expect((await answerOf(await held)).result.content[0]!.text).toBe('wrote mine');
});

test('a dropped connection leaves the step-up open and runs nothing; the retry after approval does', async () => {
  const caller = new AbortController();
  const response = await server.call(
    'write_note',
    { text: 'dropped' },
    { meta: { progressToken: 1 }, signal: caller.signal },
  );
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const stepUp = await server.issuer.nextOpen();
  await waitFor(() => stepUp.waiters.length > 0);
  caller.abort();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(stepUp.state).toBe('open');
  server.issuer.decide(stepUp, 'approved');
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(server.runs).toHaveLength(0);
  expect(server.issuer.count('redeem')).toBe(0);
  expect((await answerOf(await server.call('write_note', { text: 'dropped' }))).result.content[0]!.text).toBe(
    'wrote dropped',
  );
});

test('a held call is decided anew when it wakes up: an ended task runs nothing', async () => {
  const held = server.call('write_note', { text: 'late' }, { meta: { progressToken: 1 } });
  const stepUp = await server.issuer.nextOpen();
  server.issuer.denied.set('write_note', 'task_ended');
  server.issuer.decide(stepUp, 'approved');
  const answer = await answerOf(await held);
  expect(answer.result._meta['countersign/refusal']?.error).toBe('task_ended');
  expect(server.runs).toHaveLength(0);
});

test('T54 a client with a browser is challenged once, with the exact scope; its resend is answered to be retried', async () => {
  server.issuer.scopeChallenges = true;
  const challenged = await server.call('write_note', { text: 'scope' });
  const stepUp = await server.issuer.nextOpen();
  expect(challenged.status).toBe(403);
  const header = challenged.headers.get('www-authenticate')!;
  expect(header).toMatch(/^Bearer error="insufficient_scope"/);
  expect(header).toContain(`scope="mcp:tools step_up:${stepUp.id}"`);
  expect(header).toContain('resource_metadata="');
  const resent = await server.call('write_note', { text: 'scope' });
  expect(resent.status).toBe(200);
  expect(readStepUp((await answerOf(resent)).result)).toMatchObject({ kind: 'waiting', stepUpId: stepUp.id });
  server.issuer.decide(stepUp, 'denied', 'no');
  const denied = await server.call('write_note', { text: 'scope' });
  expect(denied.status, 'a denial is never another challenge').toBe(200);
});

test('facts are part of the approval, and a difference just before running asks anew', async () => {
  let head = 'commit-one';
  const guarded = await startGuardedServer({ guard: { facts: async () => ({ head }) } });
  try {
    await guarded.call('write_note', { text: 'merge' });
    guarded.issuer.decide(await guarded.issuer.nextOpen(), 'approved');
    guarded.issuer.beforeEvaluateAnswer = async () => {
      head = 'commit-two';
    };
    const answer = await answerOf(await guarded.call('write_note', { text: 'merge' }));
    expect(readStepUp(answer.result)).toMatchObject({ kind: 'waiting' });
    expect(guarded.issuer.stepUps.size).toBe(2);
    expect(guarded.runs).toHaveLength(0);
  } finally {
    await guarded.close();
  }
});

test('callWithApproval tells once where to decide and gives back the result of the approved call', async () => {
  const client = new Client({ name: 'test', version: '1' });
  const authProvider = { token: () => server.issuer.token() };
  await client.connect(new StreamableHTTPClientTransport(new URL(server.resource), { authProvider }));
  const told: string[] = [];
  const result = await callWithApproval(
    client,
    { name: 'write_note', arguments: { text: 'agent' } },
    {
      onWaiting: ({ approvalUrl, stepUpId }) => {
        told.push(approvalUrl);
        server.issuer.decide(server.issuer.stepUps.get(stepUpId)!, 'approved');
      },
    },
  );
  expect((result as CallResult).content[0]!.text).toBe('wrote agent');
  expect(told).toHaveLength(1);
  expect(server.runs).toHaveLength(1);
  await client.close();
});

async function waitFor(condition: () => boolean): Promise<void> {
  const until = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > until) throw new Error('It did not happen.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
