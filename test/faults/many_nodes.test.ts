import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@modelcontextprotocol/client';
import { decodeJwt } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { registerAgent } from '../../examples/demo/set_up.ts';
import { callWithApproval, type Waiting } from '../../src/agent/index.ts';
import { checkHistory } from './check_history.ts';
import { startAgain } from './fault_plan.ts';
import { GuardedLedger } from './guarded_ledger.ts';
import { SERVED_BY } from './haproxy.ts';
import { type Asked, History } from './history.ts';
import { call, until } from './installation.ts';
import { readEvents } from './logged_events.ts';
import { decideOn, RecordedAgent, RecordedGuard, type TaskToken } from './recorded_clients.ts';
import { readRecord } from './records.ts';
import { Topology } from './topology.ts';

// Three servers behind a real load balancer: what one of them acknowledged, every other knows on the next request.

const NODES = [0, 1, 2] as const;
const KILLS = 4;

vi.setConfig({ testTimeout: 120_000, hookTimeout: 180_000 });

const history = new History();
let place: Topology;
let guard: RecordedGuard;
let agent: RecordedAgent;
let ledger: GuardedLedger;
let client: Client;
let task: string;
let calls = 0;

beforeAll(async () => {
  place = await Topology.open('many');
  guard = await RecordedGuard.open(place.operator, place.issuer, 'notes', history);
  agent = await RecordedAgent.register(place.operator, place.issuer, 'Notes agent', history);
  ledger = await GuardedLedger.open(place);
  const caller = await registerAgent(place.operator, place.issuer);
  client = await ledger.connect(caller, (await ledger.startTask(caller)).taskId);
});
afterAll(async () => {
  await ledger?.close();
  await guard?.close();
  await place?.close();
});
beforeEach(async () => {
  task = (await agent.startTask(guard))!;
});
afterEach(async () => {
  for (const node of place.nodes) await startAgain(node);
  await place.untilReady();
  // The load balancer learns by its own probes that a server is back.
  for (const node of NODES) {
    await at(node);
    const answers = async () => (await fetch(`${place.issuer}/livez`)).headers.get(SERVED_BY) === `node${node}`;
    await until(`the load balancer uses server ${node}`, async () => ((await answers()) ? true : undefined));
  }
  await place.balancer.useOnly(...NODES);
});

/** The rest of a test talks to this server. */
const at = (node: number) => place.balancer.useOnly(node);
const decide = (stepUp: string, verdict: 'approve' | 'deny') => decideOn(history, place.operator, stepUp, verdict);

/** What others than our recorded clients have done. */
function note(asked: Asked): void {
  const now = performance.now();
  history.operations.push({ ...asked, start: now, end: now, outcome: 'acknowledged' });
}

async function newToken(): Promise<TaskToken> {
  const { token } = await agent.issueToken(guard, task);
  if (token === undefined) throw new Error('No token was issued.');
  return token;
}

async function newStepUp(token: TaskToken): Promise<{ action: string; stepUp: string }> {
  calls += 1;
  const action = `note ${calls}`;
  const stepUp = await guard.askFor(token, action);
  if (stepUp === undefined) throw new Error('No step-up was opened.');
  return { action, stepUp };
}

test('requests are spread over all servers, and each knows that it stands behind the load balancer', async () => {
  const answers = await Promise.all(Array.from({ length: 9 }, () => fetch(`${place.issuer}/jwks`)));
  expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200));
  expect(new Set(answers.map((answer) => answer.headers.get(SERVED_BY))).size).toBe(3);
  const sets = new Set(await Promise.all(answers.map((answer) => answer.text())));
  expect(sets.size).toBe(1);
});

describe('what one server acknowledged, every other knows on the next request', () => {
  test('a revoked token', async () => {
    const [token, other] = [await newToken(), await newToken()];
    // Every server has seen both at work, and may have kept what it saw.
    for (const node of NODES) {
      await at(node);
      expect([await guard.read(token), await guard.introspect(other)]).toEqual(['acknowledged', 'acknowledged']);
    }
    await at(0);
    expect(await agent.revoke(token)).toBe('acknowledged');
    for (const node of [1, 2, 0]) {
      await at(node);
      expect([await guard.read(token), await guard.introspect(token)], `server ${node}`).toEqual([
        'refused',
        'refused',
      ]);
      expect(await guard.read(other)).toBe('acknowledged');
    }
  });

  test('an ended task', async () => {
    const token = await newToken();
    for (const node of NODES) {
      await at(node);
      expect(await guard.read(token)).toBe('acknowledged');
    }
    await at(2);
    expect(await agent.endTask(task)).toBe('acknowledged');
    for (const node of [0, 1, 2]) {
      await at(node);
      expect([await guard.read(token), await guard.introspect(token)], `server ${node}`).toEqual([
        'refused',
        'refused',
      ]);
      expect((await agent.issueToken(guard, task)).outcome).toBe('refused');
    }
  });

  test('an approval, its one use, and that it was used', async () => {
    const token = await newToken();
    const { action, stepUp } = await newStepUp(token);
    for (const node of NODES) {
      await at(node);
      expect(await guard.readStepUp(stepUp)).toBe('open');
    }
    await at(0);
    expect(await decide(stepUp, 'approve')).toBe('acknowledged');
    await at(1);
    expect(await guard.readStepUp(stepUp)).toBe('approved');
    await at(2);
    expect((await guard.redeem(token, action, stepUp)).outcome).toBe('acknowledged');
    for (const node of [0, 1, 2]) {
      await at(node);
      expect((await guard.redeem(token, action, stepUp)).outcome, `server ${node}`).toBe('refused');
    }
  });

  test('a denial', async () => {
    const token = await newToken();
    const { action, stepUp } = await newStepUp(token);
    await at(1);
    expect(await decide(stepUp, 'deny')).toBe('acknowledged');
    for (const node of [2, 0, 1]) {
      await at(node);
      expect(await guard.readStepUp(stepUp), `server ${node}`).toBe('denied');
      expect((await guard.redeem(token, action, stepUp)).outcome).toBe('refused');
    }
  });
});

test('the same call at three servers at once is one step-up', async () => {
  const token = await newToken();
  for (let round = 0; round < 5; round += 1) {
    const action = `the same call ${round}`;
    const asked = await Promise.all(Array.from({ length: 6 }, () => guard.askFor(token, action)));
    const stepUps = new Set(asked.filter((stepUp) => stepUp !== undefined));
    expect(stepUps.size).toBe(1);
    const [stored] = await place.postgres.query<{ count: number }>(
      'select count(*)::int as count from step_ups where binding_digest = (select binding_digest from step_ups where id = $1)',
      [[...stepUps][0]],
    );
    expect(stored?.count).toBe(1);
  }
});

describe('a held call', () => {
  /** A call that is held by the server at hand. */
  async function hold(line: string) {
    const { promise: told, resolve: onWaiting } = Promise.withResolvers<Waiting>();
    const result = callWithApproval(client, { name: 'append', arguments: { line } }, { onWaiting });
    const { stepUpId } = await told;
    note({ kind: 'open_step_up', stepUp: stepUpId, action: line, task: '' });
    return { result, stepUp: stepUpId };
  }

  test('resumes when the decision is taken on another server', async () => {
    await at(0);
    const { result, stepUp } = await hold('held at one');
    await at(1);
    expect(await decide(stepUp, 'approve')).toBe('acknowledged');
    expect(await result).toMatchObject({ content: [{ text: 'Appended 11 characters.' }] });
    expect(ledger.runs().get('held at one')).toBe(1);
  });

  test('goes on at another server when its own is killed, and runs once', async () => {
    await at(0);
    const { result, stepUp } = await hold('held at a dead one');
    await place.balancer.useOnly(1, 2);
    await place.nodes[0]!.kill();
    await sleep(500);
    expect(await decide(stepUp, 'approve')).toBe('acknowledged');
    expect(await result).toMatchObject({ content: [{ text: 'Appended 18 characters.' }] });
    expect(ledger.runs().get('held at a dead one')).toBe(1);
  });
});

test('no sticky sessions: sign-in, consent, code and refresh work with every request at another server', async () => {
  const servers: string[] = [];
  const send = globalThis.fetch;
  const spy = vi.spyOn(globalThis, 'fetch').mockImplementation(async (...request) => {
    await at(servers.length % NODES.length);
    const answer = await send(...request);
    servers.push(answer.headers.get(SERVED_BY) ?? '');
    return answer;
  });
  try {
    const tokens = await obtainTokens();
    const refresh = { grant_type: 'refresh_token', client_id: 'editor', refresh_token: tokens.refresh_token! };
    const again = await postToken(refresh);
    expect(again).toMatchObject({ status: 200, body: { token_type: 'Bearer' } });
    // The first one is spent, which the next server knows: its family dies, and its task with it.
    expect(await postToken(refresh)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    const { task: ended } = decodeJwt<{ task: { id: string } }>(tokens.access_token!);
    note({ kind: 'end_task', task: ended.id });
  } finally {
    spy.mockRestore();
  }
  expect(servers.length).toBeGreaterThan(6);
  expect(servers).toEqual(servers.map((_, index) => `node${index % NODES.length}`));
});

const REDIRECT = 'http://127.0.0.1:5555/callback';

async function obtainTokens(): Promise<Record<string, string>> {
  const verifier = randomBytes(32).toString('base64url');
  const trip = new URLSearchParams({
    ...{ client_id: 'editor', response_type: 'code', redirect_uri: REDIRECT, resource: guard.resource },
    ...{ scope: 'mcp:tools', code_challenge_method: 'S256' },
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  });
  const consent = await place.operator.open(`/authorize?${trip}`);
  const allow = { action: /\/consent$/, having: { decision: 'allow' } };
  const back = await place.operator.submit(consent, allow, { seconds: '3600' });
  const code = new URL(back.url).searchParams.get('code') ?? '';
  const answer = await postToken({
    ...{ grant_type: 'authorization_code', client_id: 'editor', code, redirect_uri: REDIRECT },
    code_verifier: verifier,
  });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body;
}

async function postToken(fields: Record<string, string>) {
  const answer = await fetch(`${place.issuer}/token`, { method: 'POST', body: new URLSearchParams(fields) });
  return { status: answer.status, body: (await answer.json()) as Record<string, string> };
}

test(`F1: ${KILLS} kills of a server between decision and run leave nothing half, and the others go on`, async () => {
  const token = await newToken();
  const startedAt = performance.now();
  const calm = await newStepUp(token);
  await decide(calm.stepUp, 'approve');
  await guard.redeem(token, calm.action, calm.stepUp);
  const undisturbedMs = performance.now() - startedAt;
  for (let round = 0; round < KILLS; round += 1) {
    const { action, stepUp } = await newStepUp(token);
    await at(0);
    const working = (async () => {
      const decided = await decide(stepUp, 'approve');
      return { decided, redeemed: await guard.redeem(token, action, stepUp) };
    })();
    await sleep(Math.random() * undisturbedMs);
    await place.nodes[0]!.kill();
    await place.balancer.useOnly(1, 2);
    const { decided, redeemed } = await working;
    const left = await readRecord(place.postgres.dataDirectory, stepUp);
    const told = `round ${round}: ${decided}, ${redeemed.outcome}, ${JSON.stringify(left)}`;
    expect(['open', 'approved'], told).toContain(left.state);
    expect([left.decisions, left.grants], told).toEqual(left.state === 'approved' ? [1, 1] : [0, 0]);
    expect(left.uses, told).toBe(left.redemptions);
    if (decided === 'acknowledged') expect(left.state, told).toBe('approved');
    if (redeemed.outcome === 'acknowledged') expect(left.redemptions, told).toBe(1);
    if (left.state === 'open') expect(await decide(stepUp, 'approve'), told).toBe('acknowledged');
    await guard.redeem(token, action, stepUp);
    expect(await readRecord(place.postgres.dataDirectory, stepUp), told).toMatchObject({ uses: 1, redemptions: 1 });
    await startAgain(place.nodes[0]!);
    await place.untilReady();
  }
});

test('SIGTERM: a server ends in order while calls go on, and no call is lost', async () => {
  const token = await newToken();
  let isOver = false;
  const working = (async () => {
    const outcomes = new Set<string>();
    while (!isOver) outcomes.add(await guard.introspect(token));
    return outcomes;
  })();
  expect(await place.nodes[1]!.stop()).toBe(0);
  isOver = true;
  expect([...(await working)]).toEqual(['acknowledged']);
});

test('after all of it the history holds, and the log verifies', async () => {
  expect(await call(client, 'append', 'never approved')).toMatchObject({ verdict: { kind: 'waiting' } });
  const events = readEvents(await place.audit());
  expect(events.length).toBeGreaterThan(20);
  expect(checkHistory({ history: history.operations, events, runs: ledger.runs() })).toEqual([]);
});
