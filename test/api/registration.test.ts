import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { acceptToolServer, rejectToolServer } from '../../src/agents/accept_tool_server.ts';
import { PENDING_REGISTRATIONS_MAX } from '../../src/agents/limits.ts';
import { acceptToolChanges } from '../../src/agents/report_manifest.ts';
import { listTools } from '../../src/agents/tool_servers.ts';
import { REGISTRATIONS_PER_MINUTE } from '../../src/api/limits.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import { GUARD_API, REGISTRATION_PATH } from '../../src/wire/guard_api.ts';
import type { RiskClass } from '../../src/wire/manifest.ts';
import { startWorld, type World } from '../e2e/world.ts';
import { RawAgent } from './raw_agent.ts';
import { postJson, RawGuard, READ, WRITE } from './raw_guard.ts';
import { expectRefused, snapshot } from './unchanged.ts';

// A real server, and PostgreSQL with the product's settings, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const fetchLocal = createSafeFetch({ allowedHosts: ['127.0.0.1:*'], timeoutMs: 5_000, bytesMax: 100_000 });
const CHANGED = { ...WRITE, description: 'Writes, and sends a copy home.' };

let world: World;
let guard: RawGuard;
let number = 0;

beforeAll(async () => {
  world = await startWorld({ hasGateway: false });
});
afterAll(() => world?.close());
beforeEach(async () => {
  guard = await RawGuard.listen(world.issuer, `notes-${number++}`);
});
afterEach(async () => {
  await guard.close();
  const { db, ephemeral } = world.store;
  await ephemeral.delete('registrations');
  const waiting = await db.selectFrom('tool_servers').select('id').where('state', '=', 'pending').execute();
  for (const { id } of waiting) await reject(id);
});

const reject = (toolServerId: string, by = world.operatorId) => rejectToolServer(world.store, { toolServerId, by });

async function digestsOf(toolServerId: string): Promise<Record<string, string>> {
  const tools = await listTools(world.store, toolServerId);
  return Object.fromEntries(tools.map(({ name, digest, proposed_digest }) => [name, proposed_digest ?? digest]));
}

async function accept(
  changes: { by?: string; risks?: Record<string, RiskClass>; digests?: Record<string, string> } = {},
) {
  const { toolServerId } = guard;
  const digests = await digestsOf(toolServerId);
  const input = { toolServerId, by: world.operatorId, risks: {}, digests, fetch: fetchLocal, ...changes };
  return acceptToolServer(world.store, input);
}

/** A refused acceptance leaves everything as it was. */
async function expectNotAccepted(code: string, changes: Parameters<typeof accept>[0] = {}, message = /./) {
  const before = await snapshot(world.store);
  const answer = await accept(changes);
  expect(answer).toMatchObject({ ok: false, refusal: { code, message: expect.stringMatching(message) } });
  expect(await snapshot(world.store)).toEqual(before);
}

async function addPerson(changes: { is_administrator?: boolean; state?: 'active' | 'disabled' } = {}): Promise<string> {
  const id = newId('prs');
  const row = {
    id,
    display_name: 'Eve',
    state: 'active' as const,
    is_administrator: false,
    user_handle: Buffer.from(id),
  };
  await world.store.db
    .insertInto('people')
    .values({ ...row, ...changes })
    .execute();
  return id;
}

const refusedToRegister = (code: Parameters<typeof expectRefused>[1], changes: JsonObject, by = guard) =>
  expectRefused(world.store, code, () => by.askToRegister(changes));

describe('asking', () => {
  test('the same name, address and key name the same registration, however often and at once', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => guard.askToRegister()));
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 201));
    expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
    expect(answers[0]!.body).toMatchObject({ state: 'pending', nonce: expect.stringMatching(/^[\w-]{43}$/) });
    const found = await world.store.db.selectFrom('tool_servers').select('id').where('name', '=', guard.name).execute();
    expect(found).toHaveLength(1);
  });

  test('nobody takes a name or an address, waiting or accepted, with another key, address or deployment', async () => {
    const squatter = await RawGuard.listen(world.issuer, guard.name);
    try {
      await guard.register();
      for (const _ of ['waiting', 'accepted']) {
        await refusedToRegister('conflict', {}, squatter);
        await refusedToRegister('conflict', { resource: guard.resource }, squatter);
        await refusedToRegister('conflict', { name: 'another', resource: guard.resource }, squatter);
        await refusedToRegister('conflict', { resource: guard.resource.replace('http:', 'HTTP:') }, squatter);
        await refusedToRegister('conflict', { deployment: '{"kind":"stdio"}' });
        await refusedToRegister('conflict', { resource: `${guard.resource}/x` });
        expect(await accept()).toMatchObject(_ === 'waiting' ? { ok: true } : { ok: false });
      }
      expect((await guard.askToRegister()).body).toMatchObject({ state: 'active', client_id: guard.clientId });
    } finally {
      await squatter.close();
    }
  });

  test('rejecting frees the name and the address for another key, and the rejected key gets nothing', async () => {
    await guard.register();
    expect(await reject(guard.toolServerId)).toMatchObject({ ok: true });
    const owner = await RawGuard.listen(world.issuer, guard.name);
    try {
      expect((await owner.askToRegister({ resource: guard.resource })).body).toMatchObject({ state: 'pending' });
      expect((await guard.askForToken()).status).toBe(400);
      await refusedToRegister('conflict', {});
      await expectNotAccepted('conflict', {}, /rejected already/);
    } finally {
      await owner.close();
    }
  });

  test.each([
    ['request_invalid', 'a private key', (at: RawGuard) => ({ jwk: { ...at.key.publicJwk, d: 'x' } as JsonObject })],
    ['request_invalid', 'another curve', () => ({ jwk: { kty: 'EC', crv: 'P-384', x: 'a', y: 'b' } })],
    ['request_invalid', 'no point of the curve', () => ({ jwk: { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' } })],
    ['request_invalid', 'a symmetric key', () => ({ jwk: { kty: 'oct', k: 'x' } })],
    ['request_invalid', 'a name with a space', () => ({ name: 'my notes' })],
    ['request_invalid', 'a name of 64 characters', () => ({ name: 'n'.repeat(64) })],
    ['request_invalid', 'an address with a fragment', () => ({ resource: 'http://127.0.0.1:1/mcp#x' })],
    ['request_invalid', 'an address with a password', () => ({ resource: 'http://a:b@127.0.0.1:1/mcp' })],
    ['request_invalid', 'an address of another scheme', () => ({ resource: 'javascript:alert(1)' })],
    ['request_invalid', 'an unknown risk', () => ({ proposed_risks: { read_note: 'none' } })],
    ['request_invalid', 'a tool twice', () => ({ tools: [READ, READ] })],
    ['request_invalid', 'a tool without a schema', () => ({ tools: [{ name: 'x' }] })],
    ['request_invalid', 'a tool without a name', () => ({ tools: [{ inputSchema: {} }] })],
    ['request_invalid', 'an unknown member', () => ({ owner: 'prs_x' })],
    ['request_invalid', 'U+0000', () => ({ deployment: 'a\0' })],
    [
      'request_invalid',
      '501 tools',
      () => ({ tools: Array.from({ length: 501 }, (_, at) => ({ ...READ, name: `t${at}` })) }),
    ],
    ['body_too_large', 'a huge tool', () => ({ tools: [{ ...READ, description: 'x'.repeat(65_536) }] })],
  ] as const)('%s: %s', async (code, _what, changes) => {
    await refusedToRegister(code, changes(guard) as unknown as JsonObject);
  });

  test('a tool nobody proposed a class for is critical', async () => {
    await guard.askToRegister({ proposed_risks: { read_note: 'read', toString: 'read' } });
    const { id } = await world.store.db
      .selectFrom('tool_servers')
      .select('id')
      .where('name', '=', guard.name)
      .executeTakeFirstOrThrow();
    const risks = (await listTools(world.store, id)).map(({ name, risk }) => [name, risk]);
    expect(risks).toEqual([
      ['read_note', 'read'],
      ['write_note', 'critical'],
    ]);
  });
});

describe('limits', () => {
  test('as many wait as there are places, also when all ask at once; those who wait are still answered', async () => {
    const many = Array.from({ length: PENDING_REGISTRATIONS_MAX + 5 }, (_, at) => ({
      name: `many-${at}`,
      resource: `http://127.0.0.1:${at + 1}/many`,
    }));
    const answers = await Promise.all(many.map((changes) => guard.askToRegister(changes)));
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(PENDING_REGISTRATIONS_MAX);
    for (const answer of answers) if (answer.status !== 201) expect(answer.body.error).toBe('rate_limited');
    await refusedToRegister('rate_limited', {});
    const inside = many[answers.findIndex((answer) => answer.status === 201)]!;
    expect((await guard.askToRegister(inside)).status).toBe(201);
  });

  test('above the rate everybody is told to wait, before anything is read', async () => {
    const url = `${world.issuer}${REGISTRATION_PATH}`;
    for (let sent = 0; sent < REGISTRATIONS_PER_MINUTE; sent += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => postJson(url, '{')));
      for (const answer of answers) expect(answer.body.error).toBe('json_invalid');
    }
    const answer = await refusedToRegister('rate_limited', {});
    expect(answer.headers.get('retry-after')).toBe('60');
  });
});

describe('proof of control', () => {
  beforeEach(() => guard.register());

  test.each<[string, (at: RawGuard) => void, RegExp]>([
    [
      'no metadata',
      (at) => {
        at.metadata = { status: 404, body: '' };
      },
      /answered 404/,
    ],
    [
      'a redirect to metadata elsewhere',
      (at) => {
        at.metadata = { status: 302, headers: { location: at.resource }, body: '' };
      },
      /answered 302|could not be read/,
    ],
    [
      'no JSON',
      (at) => {
        at.metadata = { status: 200, body: '<html>' };
      },
      /not JSON/,
    ],
    [
      'a list',
      (at) => {
        at.metadata = { status: 200, body: '[]' };
      },
      /not JSON/,
    ],
    [
      'a name twice',
      (at) => {
        at.metadata = { status: 200, body: at.metadata.body.replace('{', '{"countersign_registration":"x",') };
      },
      /not JSON/,
    ],
    [
      'too much',
      (at) => {
        at.metadata = { status: 200, body: `${at.metadata.body}${' '.repeat(200_000)}` };
      },
      /could not be read/,
    ],
    ['another issuer', (at) => at.prove({ authorization_servers: ['https://other.example'] }), /does not name/],
    ['the issuer as a text', (at) => at.prove({ authorization_servers: at.issuer }), /does not name/],
    ['another nonce', (at) => at.prove({ countersign_registration: 'x' }), /another registration/],
    ['no nonce', (at) => at.prove({ countersign_registration: undefined as never }), /another registration/],
  ])('an address with %s is not accepted, and accepted once it proves itself', async (_what, change, message) => {
    change(guard);
    await expectNotAccepted('conflict', {}, message);
    guard.prove();
    expect(await accept()).toMatchObject({ ok: true });
  });

  test('a nonce of another registration proves nothing', async () => {
    const other = await RawGuard.listen(world.issuer, `${guard.name}-other`);
    await other.register();
    guard.prove({ countersign_registration: other.nonce });
    await expectNotAccepted('conflict', {}, /another registration/);
    await other.close();
  });
});

describe('deciding', () => {
  beforeEach(() => guard.register());

  test('only an active administrator accepts or rejects', async () => {
    const people = [await addPerson(), await addPerson({ is_administrator: true, state: 'disabled' }), 'prs_x'];
    for (const by of people) {
      await expectNotAccepted('not_allowed', { by });
      const before = await snapshot(world.store);
      expect(await reject(guard.toolServerId, by)).toMatchObject({ ok: false, refusal: { code: 'not_allowed' } });
      expect(await snapshot(world.store)).toEqual(before);
    }
  });

  test('of many who decide at once, one does', async () => {
    const answers = await Promise.all([accept(), reject(guard.toolServerId), accept(), reject(guard.toolServerId)]);
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
    for (const answer of answers) if (!answer.ok) expect(answer.refusal.code).toBe('conflict');
  });

  test('what is accepted is what was shown: a tool that came, changed or was hidden since refuses it whole', async () => {
    const shown = await digestsOf(guard.toolServerId);
    await guard.send(GUARD_API.manifest, { body: { tools: [READ, CHANGED] } });
    await expectNotAccepted('page_outdated', { digests: shown });
    await guard.send(GUARD_API.manifest, { body: { tools: [READ, WRITE, { ...READ, name: 'erase_all' }] } });
    await expectNotAccepted('page_outdated', { digests: shown });
    await expectNotAccepted('page_outdated', { digests: {} });
    expect(await accept()).toMatchObject({ ok: true });
  });

  test('the console accepts what it showed, and says so when that is no longer what waits', async () => {
    const page = await world.operator.open(`/tool-servers/${guard.toolServerId}`);
    await guard.send(GUARD_API.manifest, { body: { tools: [READ, CHANGED] } });
    const stale = await world.operator.submit(page, { action: /\/accept$/ });
    expect(stale.status).toBe(409);
    const fresh = await world.operator.open(`/tool-servers/${guard.toolServerId}`);
    expect((await world.operator.submit(fresh, { action: /\/accept$/ })).html).toContain(
      '<span class="tag">accepted</span>',
    );
  });

  test('until it is accepted, no agent gets a task or a token there', async () => {
    const agent = await RawAgent.register(world);
    const request = { resource: guard.resource, tools: ['read_note'], purpose: 'Read' };
    expect((await agent.start(request)).body).toMatchObject({ error: 'tool_unknown' });
  });
});

describe('tools after acceptance', () => {
  let agent: RawAgent;
  let token: string;

  beforeEach(async () => {
    await guard.register();
    expect(await accept()).toMatchObject({ ok: true });
    agent = await RawAgent.register(world);
    token = await agent.taskToken(guard, await agent.startTask(guard));
  });

  const report = (tools: readonly object[]) => guard.send(GUARD_API.manifest, { body: { tools } });
  const refusedReport = (code: Parameters<typeof expectRefused>[1], tools: readonly object[]) =>
    expectRefused(world.store, code, () => report(tools));
  async function decisionOn(name: string, digest?: string) {
    const action = guard.describe(name, {}, digest === undefined ? {} : { manifest_digest: digest });
    const body = { ...guard.question(token, name, {}), action };
    const answer = await guard.send(GUARD_API.evaluate, { body });
    return answer.body.refusal?.error ?? answer.body.decision;
  }
  const acceptTools = async (tools: string[], digests: Record<string, string>, by = world.operatorId) =>
    acceptToolChanges(world.store, { toolServerId: guard.toolServerId, by, tools, risks: {}, digests });

  test('a changed tool is denied as changed until it is accepted by the digest that was shown', async () => {
    const before = await digestsOf(guard.toolServerId);
    expect(await decisionOn('read_note')).toBe('permit');
    const changedRead = { ...READ, description: 'Reads everything.' };
    expect((await report([changedRead, WRITE])).body).toMatchObject({ accepted: 1, waiting: ['read_note'] });
    const digests = await digestsOf(guard.toolServerId);
    expect(digests.read_note).not.toBe(before.read_note);
    expect(await decisionOn('read_note', digests.read_note)).toBe('tool_changed');
    const state = await snapshot(world.store);
    const stale = await acceptTools(['write_note', 'read_note'], before);
    expect(stale).toMatchObject({ ok: false, refusal: { code: 'page_outdated' } });
    expect(await acceptTools(['read_note'], {})).toMatchObject({ ok: false, refusal: { code: 'page_outdated' } });
    expect(await acceptTools(['read_note'], digests, await addPersonBefore(state))).toMatchObject({ ok: false });
    expect(await decisionOn('read_note', digests.read_note)).toBe('tool_changed');
    expect(await acceptTools(['read_note'], digests)).toMatchObject({ ok: true });
    await vi.waitFor(async () => expect(await decisionOn('read_note', digests.read_note)).toBe('permit'));
    expect(await decisionOn('read_note')).toBe('tool_changed');
  });

  /** Somebody without a right, after checking that nothing changed until now. */
  async function addPersonBefore(state: Record<string, string>): Promise<string> {
    expect(await snapshot(world.store)).toEqual(state);
    return addPerson();
  }

  test('stale for one tool is stale for all that were chosen with it', async () => {
    const added = { ...READ, name: 'list_notes' };
    await report([READ, CHANGED, added]);
    const shown = await digestsOf(guard.toolServerId);
    await report([READ, WRITE, { ...added, description: 'Lists more.' }]);
    const before = await snapshot(world.store);
    const answer = await acceptTools(['write_note', 'list_notes'], shown);
    expect(answer).toMatchObject({ ok: false, refusal: { code: 'page_outdated' } });
    expect(await snapshot(world.store)).toEqual(before);
  });

  test('a new tool waits, is critical, and cannot be called; a tool as accepted needs nobody', async () => {
    const added = { ...READ, name: 'list_notes' };
    expect((await report([READ, WRITE, added])).body).toMatchObject({ accepted: 2, waiting: ['list_notes'] });
    const row = (await listTools(world.store, guard.toolServerId)).find((tool) => tool.name === 'list_notes');
    expect(row).toMatchObject({ state: 'proposed', risk: 'critical' });
    expect(await decisionOn('list_notes', row!.digest)).toBe('tool_unknown');
    expect((await report([READ, WRITE])).body).toMatchObject({ accepted: 2, waiting: [] });
    expect(await decisionOn('read_note')).toBe('permit');
  });

  test('a list that is wrong is refused whole: a tool twice, too large, without a schema, too many', async () => {
    await refusedReport('request_invalid', [READ, CHANGED, CHANGED]);
    await refusedReport('body_too_large', [CHANGED, { ...READ, description: 'x'.repeat(65_536) }]);
    await refusedReport('request_invalid', [CHANGED, { name: 'x' }]);
    await refusedReport('request_invalid', [CHANGED, { name: 7, inputSchema: {} }]);
    await refusedReport(
      'request_invalid',
      Array.from({ length: 501 }, (_, at) => ({ ...READ, name: `t${at}` })),
    );
    await refusedReport(
      'request_invalid',
      Array.from({ length: 2_001 }, (_, at) => ({ ...READ, name: `t${at}` })),
    );
    // With the two accepted ones, one too many.
    await refusedReport(
      'request_invalid',
      Array.from({ length: 499 }, (_, at) => ({ ...READ, name: `t${at}` })),
    );
  });

  test('however many names a guard reports over time, a bounded number is kept, and what was accepted stays', async () => {
    for (const round of ['a', 'b', 'c']) {
      const tools = Array.from({ length: 300 }, (_, at) => ({ ...READ, name: `${round}${at}` }));
      expect((await report(tools)).status).toBe(200);
    }
    const kept = await listTools(world.store, guard.toolServerId);
    expect(kept.length).toBeLessThanOrEqual(500);
    expect(kept.filter((tool) => tool.state === 'accepted').map((tool) => tool.name)).toEqual([
      'read_note',
      'write_note',
    ]);
  });
});
