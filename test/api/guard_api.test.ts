import { decodeJwt, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { decideByScript } from '../../examples/demo/approver.ts';
import { sha256Base64url } from '../../src/kernel/digest.ts';
import { newId } from '../../src/kernel/ids.ts';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';
import { GUARD_API, GUARD_API_PATH } from '../../src/wire/guard_api.ts';
import { startWorld, type World } from '../e2e/world.ts';
import { loadProviderKeys } from '../support/keys.ts';
import { RawAgent } from './raw_agent.ts';
import { type Answer, RawGuard, type RequestOptions } from './raw_guard.ts';
import { expectRefused, snapshot } from './unchanged.ts';

// A real server, and PostgreSQL with the product's settings, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let guard: RawGuard;
let other: RawGuard;
let agent: RawAgent;
let caller: string;
let number = 0;
let args: { path: string; content: string };

beforeAll(async () => {
  world = await startWorld({ hasGateway: false });
  agent = await RawAgent.register(world);
  [guard, other] = await Promise.all([acceptedGuard('notes'), acceptedGuard('others')]);
  caller = await agent.taskToken(guard, await agent.startTask(guard));
});
afterAll(async () => {
  await guard?.close();
  await other?.close();
  await world?.close();
});
beforeEach(() => {
  args = { path: `note ${number++}.md`, content: 'Buy milk.' };
});

async function acceptedGuard(name: string): Promise<RawGuard> {
  const made = await RawGuard.listen(world.issuer, name);
  await made.register();
  const page = await world.operator.open(`/tool-servers/${made.toolServerId}`);
  expect((await world.operator.submit(page, { action: /\/accept$/ })).status).toBe(200);
  return made;
}

const refused = (code: Parameters<typeof expectRefused>[1], send: () => Promise<Answer>) =>
  expectRefused(world.store, code, send);
const question = (name = 'write_note', by = guard) => by.question(caller, name, args);
const redemption = (changes: object = {}, by = guard) => ({
  ...question('write_note', by),
  attempt_id: newId('att'),
  ...changes,
});

/** A step-up that people see. */
async function ask(): Promise<string> {
  const { body } = await guard.send(GUARD_API.evaluate, { body: question() });
  expect(body.decision).toBe('step_up');
  const challenge = await guard.signChallenge(body.txn, guard.describe('write_note', args));
  const opened = await guard.send(GUARD_API.challenges, { body: { step_up_id: body.step_up.step_up_id, challenge } });
  expect(opened.body).toMatchObject({ state: 'open' });
  return body.step_up.step_up_id;
}

async function approve(stepUpId: string): Promise<void> {
  const waiting = { kind: 'waiting', stepUpId, approvalUrl: `${world.issuer}/step-ups/${stepUpId}` } as const;
  await decideByScript(world.operator, waiting as never, 'approve');
}

/** A redeemed call: its redemption and its attempt. */
async function redeemed(): Promise<{ id: string; attemptId: string; stepUpId: string }> {
  const stepUpId = await ask();
  await approve(stepUpId);
  const attemptId = newId('att');
  const { body } = await guard.send(GUARD_API.redeem, { body: redemption({ attempt_id: attemptId }) });
  expect(body).toMatchObject({ step_up_id: stepUpId, repeated: false });
  return { id: body.redemption_id, attemptId, stepUpId };
}

const report = (attemptId: string, changes: object = {}) => ({
  attempt_id: attemptId,
  guard_instance: guard.instance,
  outcome: 'done',
  result: { content: [] },
  ...changes,
});

/** Every endpoint with a request that would be understood. */
const ENDPOINTS: readonly [name: string, path: string, request: () => RequestOptions][] = [
  ['evaluate', GUARD_API.evaluate, () => ({ body: question() })],
  ['challenges', GUARD_API.challenges, () => ({ body: { step_up_id: newId('stp'), challenge: 'a.b.c' } })],
  ['wait', GUARD_API.wait('stp_x'), () => ({ method: 'GET' })],
  ['withdraw', GUARD_API.withdraw('stp_x'), () => ({})],
  ['redeem', GUARD_API.redeem, () => ({ body: redemption() })],
  ['outcome', GUARD_API.outcome('red_x'), () => ({ body: report(newId('att')) })],
  ['visible-tools', GUARD_API.visibleTools, () => ({ body: { caller: question().caller, tools: [] } })],
  ['manifest', GUARD_API.manifest, () => ({ body: { tools: [] } })],
];
const WITH_BODY = ENDPOINTS.filter(([name]) => name !== 'wait' && name !== 'withdraw');

describe.each(ENDPOINTS)('%s', (name, path, request) => {
  test('is for guards with a token and a proof of its key, made for this request and used once', async () => {
    const send = (options: RequestOptions) => () => guard.send(path, { ...request(), ...options });
    const method = request().method ?? 'POST';
    const missing = await refused('token_missing', send({ token: null, proof: null }));
    expect(missing.headers.get('www-authenticate')).toMatch(/^DPoP/);
    await refused('token_invalid', send({ scheme: 'Bearer', proof: null }));
    await refused('token_invalid', send({ scheme: 'Bearer' }));
    await refused('dpop_proof_invalid', send({ proof: null }));
    await refused('dpop_proof_invalid', send({ proof: await guard.proof(`${path}/x`, { method }) }));
    const otherMethod = method === 'POST' ? 'GET' : 'POST';
    await refused('dpop_proof_invalid', send({ proof: await guard.proof(path, { method: otherMethod }) }));
    await refused(
      'dpop_proof_invalid',
      send({ proof: await guard.proof(path, { method, key: await generateDpopKey() }) }),
    );
    await refused('dpop_proof_invalid', send({ proof: await guard.proof(path, { method, accessToken: 'x' }) }));
    const old = new Date(Date.now() - 65_000);
    await refused('dpop_proof_invalid', send({ proof: await guard.proof(path, { method, now: old }) }));
    const proof = await guard.proof(path, { method });
    expect((await guard.send(path, { ...request(), proof })).status).not.toBe(401);
    await refused('dpop_proof_invalid', send({ proof }));
  });

  test('is closed to tokens of agents, also with the guard API as the resource they asked for', async () => {
    const method = request().method ?? 'POST';
    for (const token of [caller, await agent.apiToken()]) {
      const proof = await guard.proof(path, { method, accessToken: token });
      await refused('token_wrong_audience', () => guard.send(path, { ...request(), token, proof }));
    }
    const asked = await agent.askForToken({ resource: `${world.issuer}${GUARD_API_PATH}`, scope: 'guard' });
    expect(asked.body).toMatchObject({ error: 'invalid_target' });
  });

  test('refuses a token that another key signed, and one without a signature', async () => {
    const payload = decodeJwt(await guard.token());
    const header = { typ: 'at+jwt', alg: 'ES256' };
    const forged = await new SignJWT(payload).setProtectedHeader(header).sign(guard.key.privateKey);
    const none = `${Buffer.from('{"typ":"at+jwt","alg":"none"}').toString('base64url')}.${forged.split('.')[1]}.`;
    for (const token of [forged, none, 'x', `${await guard.token()} x`]) {
      const code = token.includes(' ') ? 'token_missing' : 'token_invalid';
      await refused(code, () => guard.send(path, { ...request(), token }));
    }
  });

  test('is closed to the guard of a rejected tool server, also with a token from before', async () => {
    const rejected = await RawGuard.listen(world.issuer, `rejected-${name}`);
    try {
      await rejected.register();
      await rejected.token();
      await world.operator.submit(await world.operator.open(`/tool-servers/${rejected.toolServerId}`), {
        action: /\/reject$/,
      });
      await refused('guard_not_allowed', () => rejected.send(path, request()));
      expect((await rejected.askForToken()).body).toMatchObject({ error: expect.stringMatching(/^invalid_/) });
    } finally {
      await rejected.close();
    }
  });
});

describe.each(WITH_BODY)('the body of %s', (_name, path, request) => {
  const deep = (levels: number) => `{"caller":${'['.repeat(levels)}${']'.repeat(levels)}}`;

  test.each([
    ['json_invalid', 'no JSON', '{"caller":'],
    ['json_invalid', 'nothing', ''],
    ['json_invalid', 'a name twice', '{"tools":[],"tools":[{}]}'],
    ['json_invalid', 'an unsafe number', '{"outcome":9007199254740993}'],
    ['json_invalid', 'a lone surrogate', '{"attempt_id":"\\ud800"}'],
    ['json_invalid', '10,000 levels', deep(10_000)],
    ['request_invalid', 'a list', '[]'],
    ['request_invalid', 'null', 'null'],
    ['json_invalid', 'a name of the prototype', '{"__proto__":{"tools":[]},"x":1}'],
    ['body_too_large', '3 MB', `{"x":"${'x'.repeat(3_000_000)}"}`],
  ] as const)('%s: %s', async (code, _what, raw) => {
    await refused(code, () => guard.send(path, { raw }));
  });

  test('request_invalid: every member that is left out, of another type, or not known; and other media types', async () => {
    const valid = request().body as Record<string, unknown>;
    for (const name of Object.keys(valid)) {
      const { [name]: _, ...without } = valid;
      await refused('request_invalid', () => guard.send(path, { body: without }));
      await refused('request_invalid', () => guard.send(path, { body: { ...valid, [name]: 7 } }));
    }
    await refused('request_invalid', () => guard.send(path, { body: { ...valid, more: true } }));
    await refused('request_invalid', () => guard.send(path, { body: valid, contentType: 'text/plain' }));
  });
});

test.each([
  ['an id of a step-up', GUARD_API.wait('\0'), {}],
  ['an id to withdraw', GUARD_API.withdraw('\0'), {}],
  [
    'an id of a redemption',
    GUARD_API.outcome('\0'),
    { attempt_id: 'a', guard_instance: 'a', outcome: 'done', result: null },
  ],
  ['an attempt', GUARD_API.outcome('red_x'), { attempt_id: 'a\0', guard_instance: 'a', outcome: 'done', result: null }],
  ['a tool', GUARD_API.manifest, { tools: [{ name: 'a\0', inputSchema: {} }] }],
])('a zero byte in %s is refused and no failure of ours', async (_what, path, body) => {
  const before = await snapshot(world.store);
  const isWait = path.endsWith('/wait');
  const answer = await guard.send(path, isWait ? { method: 'GET' } : { body });
  expect(answer.status).toBeLessThan(500);
  expect(answer.body).toSatisfy(
    (found: { error?: string; withdrawn?: boolean }) => found.error !== undefined || found.withdrawn === false,
  );
  expect(await snapshot(world.store)).toEqual(before);
});

test('a proof with the longest id a proof may have is taken, once', async () => {
  const { kty, crv, x, y } = guard.dpopKey.publicJwk;
  const proof = await new SignJWT({
    jti: 'j'.repeat(256),
    htm: 'POST',
    htu: `${world.issuer}${GUARD_API.manifest}`,
    iat: Math.floor(Date.now() / 1000),
    ath: sha256Base64url(await guard.token()),
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: { kty, crv, x, y } as never })
    .sign(guard.dpopKey.privateKey);
  const send = () => guard.send(GUARD_API.manifest, { body: { tools: [] }, proof });
  expect((await send()).status).toBe(200);
  await refused('dpop_proof_invalid', send);
});

describe('T35: what belongs to another guard', () => {
  test('T35: its step-ups cannot be watched, opened or withdrawn, open or approved', async () => {
    const stepUpId = await ask();
    const wait = () => other.send(GUARD_API.wait(stepUpId), { method: 'GET' });
    await refused('not_found', wait);
    const before = await snapshot(world.store);
    expect((await other.send(GUARD_API.withdraw(stepUpId))).body).toEqual({ withdrawn: false });
    expect(await snapshot(world.store)).toEqual(before);
    const challenge = await other.signChallenge(newId('txn'), guard.describe('write_note', args));
    await refused('not_found', () => other.send(GUARD_API.challenges, { body: { step_up_id: stepUpId, challenge } }));
    await approve(stepUpId);
    await refused('not_found', wait);
    expect((await guard.send(GUARD_API.wait(stepUpId), { method: 'GET' })).body).toMatchObject({ state: 'approved' });
  });

  test('T35: its callers are refused, in every place a caller is named', async () => {
    await refused('token_wrong_audience', () => other.send(GUARD_API.redeem, { body: redemption({}, other) }));
    const tools = { caller: question().caller, tools: [] };
    await refused('token_wrong_audience', () => other.send(GUARD_API.visibleTools, { body: tools }));
    const before = await snapshot(world.store);
    const answer = await other.send(GUARD_API.evaluate, { body: question('write_note', other) });
    expect(answer.body).toMatchObject({
      decision: 'deny',
      principal: null,
      refusal: { error: 'token_wrong_audience' },
    });
    expect(await snapshot(world.store)).toEqual(before);
  });

  test('T35: its redemptions have no outcome to report, and its grants cannot be used', async () => {
    const { id, attemptId } = await redeemed();
    await refused('not_found', () => other.send(GUARD_API.outcome(id), { body: report(attemptId) }));
    const ownToken = await agent.taskToken(other, await agent.startTask(other));
    const body = { ...other.question(ownToken, 'write_note', args), attempt_id: newId('att') };
    await refused('grant_missing', () => other.send(GUARD_API.redeem, { body }));
    const described = { ...body, action: guard.describe('write_note', args) };
    await refused('request_invalid', () => other.send(GUARD_API.redeem, { body: described }));
  });

  test("T35: a challenge that another guard's key signed, or for another action or transaction, opens nothing", async () => {
    const { body } = await guard.send(GUARD_API.evaluate, { body: question() });
    const action = guard.describe('write_note', args);
    const step_up_id = body.step_up.step_up_id;
    const challenges = [
      await other.signChallenge(body.txn, action),
      await guard.signChallenge(newId('txn'), action),
      await guard.signChallenge(body.txn, guard.describe('write_note', { ...args, content: '' })),
      'a.b.c',
    ];
    for (const challenge of challenges) {
      await refused('challenge_invalid', () => guard.send(GUARD_API.challenges, { body: { step_up_id, challenge } }));
    }
  });
});

describe('the caller that a guard names', () => {
  const changed = (token: string) => ({ caller: { access_token: token, dpop_jkt: null } });

  test.each(['evaluate', 'redeem', 'visibleTools'] as const)(
    '%s refuses what is not a token for it',
    async (endpoint) => {
      const tokens = {
        token_invalid: ['x', `${caller.slice(0, -6)}AAAAAA`],
        token_wrong_audience: [await agent.apiToken(), await guard.token()],
      };
      for (const [code, values] of Object.entries(tokens)) {
        for (const token of values) {
          const bodies = {
            evaluate: { ...question(), ...changed(token) },
            redeem: redemption(changed(token)),
            visibleTools: { ...changed(token), tools: [] },
          };
          const before = await snapshot(world.store);
          const { body, headers } = await guard.send(GUARD_API[endpoint], { body: bodies[endpoint] });
          expect(body.refusal ?? body).toMatchObject({ error: code });
          // The guard must not take it for a failure of its own token.
          expect(headers.get('www-authenticate')).toBeNull();
          expect(await snapshot(world.store)).toEqual(before);
        }
      }
    },
  );
});

test('a caller whose token lacks the base scope calls no tool (a refresh may narrow the scope)', async () => {
  const [key] = (await loadProviderKeys(world.store)).tokenKeys.keys;
  const narrowed = await new SignJWT({ ...decodeJwt(caller), scope: 'openid' })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: key!.kid! })
    .sign(key!);
  const body = { ...question(), caller: { access_token: narrowed, dpop_jkt: null } };
  const before = await snapshot(world.store);
  const answer = await guard.send(GUARD_API.evaluate, { body });
  expect(answer.body.refusal).toMatchObject({ error: 'token_invalid' });
  expect(await snapshot(world.store)).toEqual(before);
});

test('a token of a guard that was revoked works no more', async () => {
  const token = await guard.token({ scope: 'guard' });
  const send = async () => guard.send(GUARD_API.manifest, { body: { tools: [] }, token });
  expect((await send()).status).toBe(200);
  const form = new URLSearchParams({ token, ...(await clientAssertion(guard.key, guard, new Date())) });
  expect((await fetch(`${world.issuer}/revoke`, { method: 'POST', body: form })).status).toBe(200);
  await refused('token_invalid', send);
});

describe('the life of a call', () => {
  test('a call as described differs from its digest: refused, nothing registered', async () => {
    const body = {
      ...question(),
      action: { ...guard.describe('write_note', args), arguments: { ...args, path: '/' } },
    };
    const before = await snapshot(world.store);
    const answer = await guard.send(GUARD_API.evaluate, { body });
    expect(answer.body).toMatchObject({ decision: 'deny', refusal: { error: 'request_invalid' } });
    expect(await snapshot(world.store)).toEqual(before);
  });

  test('an attempt id is for one call: the same again is repeated, another call with it is refused', async () => {
    const { id, attemptId, stepUpId } = await redeemed();
    const again = await guard.send(GUARD_API.redeem, { body: redemption({ attempt_id: attemptId }) });
    expect(again.body).toEqual({ redemption_id: id, step_up_id: stepUpId, repeated: true });
    args = { ...args, content: 'Buy bread.' };
    await approve(await ask());
    await refused('conflict', () => guard.send(GUARD_API.redeem, { body: redemption({ attempt_id: attemptId }) }));
    expect((await guard.send(GUARD_API.redeem, { body: redemption() })).body).toMatchObject({ repeated: false });
    await refused('grant_used', () => guard.send(GUARD_API.redeem, { body: redemption() }));
  });

  test('the same attempt id of another instance is another attempt, and finds the grant used', async () => {
    const { attemptId } = await redeemed();
    const body = redemption({ attempt_id: attemptId, guard_instance: newId('gin') });
    await refused('grant_used', () => guard.send(GUARD_API.redeem, { body }));
  });

  test('an outcome is reported once, by the attempt that redeemed; the first report stands', async () => {
    const { id, attemptId } = await redeemed();
    const send = (body: object) => guard.send(GUARD_API.outcome(id), { body });
    await refused('not_found', () => send(report(newId('att'))));
    await refused('not_found', () => send(report(attemptId, { guard_instance: newId('gin') })));
    expect((await send(report(attemptId))).body).toEqual({ recorded: true });
    const before = await snapshot(world.store);
    expect((await send(report(attemptId, { outcome: 'failed', result: null }))).body).toEqual({ recorded: false });
    expect(await snapshot(world.store)).toEqual(before);
    const replayed = await guard.send(GUARD_API.evaluate, { body: question() });
    expect(replayed.body).toMatchObject({ decision: 'replay', outcome: 'done', result: { content: [] } });
  });

  test.each(['-1', '26', 'x', 'Infinity', '1e9', '1&seconds=2'])('a wait of %s seconds is refused', async (seconds) => {
    const path = GUARD_API.wait('stp_x');
    const proof = await guard.proof(path, { method: 'GET' });
    await refused('request_invalid', () => guard.send(`${path}?seconds=${seconds}`, { method: 'GET', proof }));
  });

  test('a wait ends with its time, or as soon as somebody decided', async () => {
    const stepUpId = await ask();
    const path = GUARD_API.wait(stepUpId);
    const wait = async (seconds: string) => {
      const started = performance.now();
      const proof = await guard.proof(path, { method: 'GET' });
      const { body } = await guard.send(`${path}?seconds=${seconds}`, { method: 'GET', proof });
      return { state: body.state, seconds: (performance.now() - started) / 1000 };
    };
    expect((await wait('0')).state).toBe('open');
    const short = await wait('1');
    expect(short.state).toBe('open');
    expect(short.seconds).toBeGreaterThan(0.9);
    const long = wait('25');
    await approve(stepUpId);
    const decided = await long;
    expect(decided.state).toBe('approved');
    expect(decided.seconds).toBeLessThan(20);
  });
});
