import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { append } from '../../src/events/append.ts';
import { newId } from '../../src/kernel/ids.ts';
import { BY_SERVER } from '../../src/model/acting.ts';
import type { ApiTokenScope } from '../../src/model/api_token.ts';
import { makeApiToken } from '../../src/people/api_tokens.ts';
import { transact } from '../../src/store/transact.ts';
import { disablePerson } from '../../src/tasks/revoke/disable_person.ts';
import { offboardAgent } from '../../src/tasks/revoke/offboard_agent.ts';
import { startTwoNodes, type TwoNodes } from '../faults/two_nodes.ts';
import { SetReceiver, subjectId } from '../signals/set_receiver.ts';
import { Scenario } from '../support/scenario.ts';

// OpenID SSF 1.0 over HTTP, with two servers behind one address: no request meets the same one as the request before it.

const PUSH = 'urn:ietf:rfc:8935';
const POLL = 'urn:ietf:rfc:8936';
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';

let two: TwoNodes;
let token: string;
let metadata: Record<string, string>;
beforeAll(async () => {
  two = await startTwoNodes();
  token = await apiToken('siem', ['signals']);
  metadata = (await (await fetch(`${two.world.issuer}/.well-known/ssf-configuration`)).json()) as typeof metadata;
}, 60_000);
afterAll(() => two.close());

async function apiToken(name: string, scopes: readonly ApiTokenScope[]): Promise<string> {
  const made = await makeApiToken(two.world.store, { name, scopes, seconds: 3_600, by: BY_SERVER });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.token;
}

interface Asked {
  readonly method?: string;
  readonly body?: unknown;
  readonly as?: string | null;
}

async function ask(url: string, { method, body, as = token }: Asked = {}) {
  const response = await fetch(url, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(as === null ? {} : { authorization: `Bearer ${as}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text), headers: response.headers };
}

const configuration = (streamId: string) => `${metadata.configuration_endpoint}?stream_id=${streamId}`;

async function makeStream(body: object = {}, as = token): Promise<{ id: string; poll: string }> {
  const made = await ask(metadata.configuration_endpoint!, { body, as });
  expect(made.status).toBe(201);
  return { id: made.body.stream_id, poll: made.body.delivery.endpoint_url };
}

async function endTask(): Promise<string> {
  const task = newId('tsk');
  const { store } = two.world;
  await transact(store, (tx, afterCommit) =>
    append(store, tx, afterCommit, { kind: 'task.ended', ids: { task, how: 'completed', by: newId('agt') } }),
  );
  return task;
}

async function verified(set: string, audience = 'siem') {
  const keys = (await (await fetch(metadata.jwks_uri!)).json()) as JSONWebKeySet;
  const { payload } = await jwtVerify(set, createLocalJWKSet(keys), {
    issuer: two.world.issuer,
    audience,
    typ: 'secevent+jwt',
    algorithms: ['ES256'],
  });
  return payload as Parameters<typeof subjectId>[0]['claims'];
}

describe('metadata', () => {
  test('names what a receiver begins with, and the keys of tokens verify what is sent', async () => {
    const { issuer } = two.world;
    expect(metadata).toMatchObject({
      spec_version: '1_0',
      issuer,
      jwks_uri: `${issuer}/jwks`,
      delivery_methods_supported: [PUSH, POLL],
      default_subjects: 'ALL',
    });
    expect(metadata.configuration_endpoint).toMatch(issuer);
    expect(metadata.status_endpoint).toMatch(issuer);
    expect(metadata.verification_endpoint).toMatch(issuer);
  });
});

describe('who may', () => {
  test('nobody without a token, or with one for something else; and no receiver sees another one', async () => {
    const url = metadata.configuration_endpoint!;
    const missing = await ask(url, { as: null });
    expect(missing.status).toBe(401);
    expect(missing.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect((await ask(url, { as: await apiToken('scim', ['scim']) })).status).toBe(403);

    const { id, poll } = await makeStream();
    const other = await apiToken('other', ['signals']);
    const streamless = { stream_id: id, status: 'disabled' };
    const refused = await Promise.all([
      ask(configuration(id), { as: other }),
      ask(url, { method: 'PATCH', body: { stream_id: id, description: 'mine' }, as: other }),
      ask(configuration(id), { method: 'DELETE', as: other }),
      ask(metadata.status_endpoint!, { body: streamless, as: other }),
      ask(metadata.verification_endpoint!, { body: { stream_id: id }, as: other }),
      ask(poll, { body: { returnImmediately: true }, as: other }),
      ask(`${url}/${id}/dead-letters`, { as: other }),
      ask(`${url}/${id}/dead-letters`, { body: {}, as: other }),
    ]);
    expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 404));
    expect((await ask(url, { as: other })).body).toEqual([]);
    // Another token of the same name is the same receiver.
    const replaced = await apiToken('siem', ['signals']);
    expect((await ask(configuration(id), { as: replaced })).body).toMatchObject({ stream_id: id, aud: 'siem' });
  });
});

describe('managing a stream (SSF 1.0 §8.1)', () => {
  test('made, read, changed, replaced and deleted', async () => {
    const url = metadata.configuration_endpoint!;
    const delivery = {
      method: PUSH,
      endpoint_url: 'https://receiver.example/events',
      authorization_header: 'Bearer of-the-receiver',
    };
    const events_requested = [`${CAEP}session-revoked`, 'urn:not:ours'];
    const made = await ask(url, { body: { delivery, events_requested, description: 'first', more: 1 } });
    expect(made.status).toBe(201);
    const { stream_id } = made.body;
    expect(made.body).toMatchObject({
      iss: two.world.issuer,
      aud: 'siem',
      events_requested,
      events_delivered: [`${CAEP}session-revoked`],
      description: 'first',
      min_verification_interval: expect.any(Number),
    });
    // A credential is not shown again, and not kept in the clear.
    expect(made.body.delivery).toEqual({ method: PUSH, endpoint_url: delivery.endpoint_url });
    const { authorization_sealed } = await two.world.store.db
      .selectFrom('signal_streams')
      .select('authorization_sealed')
      .where('id', '=', stream_id)
      .executeTakeFirstOrThrow();
    expect(authorization_sealed?.toString('latin1')).not.toContain('of-the-receiver');

    expect((await ask(configuration(stream_id))).body).toEqual(made.body);
    const changed = await ask(url, { method: 'PATCH', body: { stream_id, description: 'second' } });
    expect(changed).toMatchObject({ status: 200, body: { ...made.body, description: 'second' } });
    const wrong = await ask(url, { method: 'PATCH', body: { stream_id, aud: 'somebody else' } });
    expect(wrong).toMatchObject({ status: 400, body: { error: 'request_invalid' } });

    const replaced = await ask(url, { method: 'PUT', body: { stream_id, delivery: { method: POLL } } });
    expect(replaced.status).toBe(200);
    expect(replaced.body).not.toHaveProperty('description');
    expect(replaced.body).toMatchObject({ events_requested: [], delivery: { method: POLL } });
    expect(replaced.body.delivery.endpoint_url).toContain(stream_id);

    expect((await ask(configuration(stream_id), { method: 'DELETE' })).status).toBe(204);
    expect((await ask(configuration(stream_id))).status).toBe(404);
  });

  test('what cannot be pushed to is refused at once', async () => {
    const url = metadata.configuration_endpoint!;
    for (const endpoint_url of [
      'http://receiver.example/events',
      'https://user:password@receiver.example/',
      'https://10.0.0.1/events',
      'https://[::1]/events',
      'ftp://receiver.example',
      'nonsense',
    ]) {
      const refused = await ask(url, { body: { delivery: { method: PUSH, endpoint_url } } });
      expect([endpoint_url, refused.status]).toEqual([endpoint_url, 400]);
    }
    const split = { method: PUSH, endpoint_url: 'https://receiver.example/', authorization_header: 'a\r\nHost: b' };
    expect((await ask(url, { body: { delivery: split } })).status).toBe(400);
  });

  test('a receiver has so many streams and no more', async () => {
    const as = await apiToken('greedy', ['signals']);
    const asked = await Promise.all(
      Array.from({ length: 12 }, () => ask(metadata.configuration_endpoint!, { body: {}, as })),
    );
    expect(asked.filter(({ status }) => status === 201)).toHaveLength(8);
    expect(asked.filter(({ status }) => status === 409)).toHaveLength(4);
  });
});

describe('polling (RFC 8936)', () => {
  test('hands out in order until it is acknowledged, with signed tokens, and takes errors', async () => {
    const { id, poll } = await makeStream();
    const tasks = [await endTask(), await endTask(), await endTask()];
    await vi.waitUntil(async () => {
      const { body } = await ask(poll, { body: { returnImmediately: true } });
      return Object.keys(body.sets).length === 3;
    }, 20_000);
    const first = await ask(poll, { body: { maxEvents: 2, returnImmediately: true } });
    expect(first).toMatchObject({ status: 200, body: { moreAvailable: true } });
    const jtis = Object.keys(first.body.sets);
    const claims = await Promise.all(jtis.map((jti) => verified(first.body.sets[jti])));
    expect(claims.map((one) => one.jti)).toEqual(jtis);
    expect(claims.map((one) => subjectId({ claims: one }))).toEqual(tasks.slice(0, 2));

    const again = await ask(poll, { body: { maxEvents: 2, returnImmediately: true } });
    expect(Object.keys(again.body.sets)).toEqual(jtis);
    const [one, other] = jtis as [string, string];
    const errors = {
      [other]: { err: 'invalid_audience', description: 'words of the receiver' },
      unknown: { err: 'x' },
    };
    const rest = await ask(poll, { body: { ack: [one, 'unknown'], setErrs: errors, returnImmediately: true } });
    expect(rest.body.moreAvailable).toBe(false);
    const [last] = Object.values(rest.body.sets) as string[];
    expect(subjectId({ claims: await verified(last!) })).toBe(tasks[2]);
    const none = await ask(poll, { body: { ack: Object.keys(rest.body.sets), maxEvents: 0 } });
    expect(none.body).toEqual({ sets: {}, moreAvailable: false });

    const letters = await ask(`${metadata.configuration_endpoint}/${id}/dead-letters`);
    expect(letters.body.dead_letters).toMatchObject([
      {
        jti: other,
        event: `${CAEP}session-revoked`,
        sub_id: { format: 'complex', session: { format: 'opaque', id: tasks[1] } },
        error: 'The receiver refused the event: invalid_audience.',
      },
    ]);
    expect((await ask(`${metadata.configuration_endpoint}/${id}/dead-letters`, { body: {} })).body).toEqual({
      messages: 1,
    });
    const retried = await ask(poll, { body: { returnImmediately: true } });
    expect(Object.keys(retried.body.sets)).toEqual([other]);
  });

  test('one receiver cannot acknowledge what is of another stream', async () => {
    const [mine, other] = [await makeStream(), await makeStream({}, await apiToken('bystander', ['signals']))];
    await endTask();
    const waiting = async (streamId: string) =>
      two.world.store.db.selectFrom('signal_messages').select('jti').where('stream_id', '=', streamId).execute();
    await vi.waitUntil(async () => (await waiting(other.id)).length === 1, 20_000);
    const theirs = await waiting(other.id);
    const stolen = Object.fromEntries(theirs.map(({ jti }) => [jti, { err: 'invalid_request' }]));
    await ask(mine.poll, { body: { ack: theirs.map(({ jti }) => jti), setErrs: stolen, returnImmediately: true } });
    expect(await waiting(other.id)).toEqual(theirs);
    const states = await two.world.store.db
      .selectFrom('signal_messages')
      .select('state')
      .where('stream_id', '=', other.id)
      .execute();
    expect(states).toEqual([{ state: 'waiting' }]);
  });

  test('waits for something, and is answered when it comes; a paused stream hands out nothing', async () => {
    const { id, poll } = await makeStream();
    const waiting = ask(poll, { body: {} });
    const task = await endTask();
    const answered = await waiting;
    const [set] = Object.values(answered.body.sets) as string[];
    expect(subjectId({ claims: await verified(set!) })).toBe(task);
    const status = await ask(metadata.status_endpoint!, { body: { stream_id: id, status: 'paused', reason: 'later' } });
    expect(status).toMatchObject({ status: 200, body: { stream_id: id, status: 'paused', reason: 'later' } });
    expect((await ask(poll, { body: { returnImmediately: true } })).body).toEqual({ sets: {}, moreAvailable: false });
    expect((await ask(`${metadata.status_endpoint}?stream_id=${id}`)).body.status).toBe('paused');
    await ask(metadata.status_endpoint!, { body: { stream_id: id, status: 'enabled' } });
    const enabled = await ask(poll, { body: { returnImmediately: true } });
    expect(Object.keys(enabled.body.sets)).toEqual(Object.keys(answered.body.sets));
  });

  test('what is no poll is refused, and a stream that is pushed cannot be polled', async () => {
    const { poll } = await makeStream();
    for (const body of [{ maxEvents: -1 }, { ack: 'x' }, { setErrs: { a: 'b' } }, []]) {
      expect((await ask(poll, { body })).status).toBe(400);
    }
    const as = await apiToken('pushed to', ['signals']);
    const { id } = await makeStream({ delivery: { method: PUSH, endpoint_url: 'https://receiver.example/' } }, as);
    const polled = await ask(`${metadata.configuration_endpoint}/${id}/poll`, { body: {}, as });
    expect(polled).toMatchObject({ status: 400, body: { error_description: expect.stringContaining('are pushed') } });
  });
});

test('verification (SSF 1.0 §8.1.4) comes back with the state, over push, and not too often', async () => {
  const keys = async () => ((await (await fetch(metadata.jwks_uri!)).json()) as JSONWebKeySet).keys;
  const receiver = await SetReceiver.open(keys, { issuer: two.world.issuer, audience: 'pushed' });
  try {
    const as = await apiToken('pushed', ['signals']);
    const delivery = { method: PUSH, endpoint_url: receiver.url };
    const { id } = await makeStream({ delivery }, as);
    const asked = await ask(metadata.verification_endpoint!, { body: { stream_id: id, state: 'of mine' }, as });
    expect(asked).toMatchObject({ status: 204, body: null });
    const tooOften = await ask(metadata.verification_endpoint!, { body: { stream_id: id }, as });
    expect(tooOften.status).toBe(429);
    await vi.waitUntil(() => receiver.received.length > 0, 20_000);
    expect(receiver.received[0]!.claims).toMatchObject({
      sub_id: { format: 'opaque', id },
      events: { 'https://schemas.openid.net/secevent/ssf/event-type/verification': { state: 'of mine' } },
    });
    const { rows } = await sql<{ kind: string }>`
      select kind from events where kind like 'signal_stream.%' order by id desc limit 1`.execute(two.world.store.db);
    expect(rows).toEqual([{ kind: 'signal_stream.made' }]);
  } finally {
    await receiver.close();
  }
});

test('offboarding an agent, and disabling a person, is told with all that ends below, in the order of the log', async () => {
  const { store, issuer } = two.world;
  const scene = await Scenario.create(store);
  const { id: agentTask } = scene.claims.task;
  const [agent, requester] = [scene.claims.act!.sub, scene.requester.person.id];
  const { poll } = await makeStream({}, await apiToken('observer', ['signals']));
  const as = await apiToken('observer', ['signals']);
  const offboarded = await offboardAgent(store, { agentId: agent, by: BY_SERVER, reason: '' });
  expect(offboarded).toMatchObject({ ok: true, value: { tasks: 1 } });
  await scene.startTask();
  const { id: personTask } = scene.claims.task;
  expect(await disablePerson(store, { personId: requester, by: BY_SERVER, reason: '' })).toMatchObject({ ok: true });
  const sets = await vi.waitUntil(async () => {
    const { body } = await ask(poll, { body: { returnImmediately: true }, as });
    return Object.keys(body.sets).length >= 5 && (Object.values(body.sets) as string[]);
  }, 20_000);
  const claims = await Promise.all(sets.map((set) => verified(set, 'observer')));
  const subjects = claims.map(({ sub_id }) => sub_id as { application?: object; session?: object; sub?: string });
  const issSub = (sub: string) => ({ format: 'iss_sub', iss: issuer, sub });
  const session = (id: string) => ({ format: 'complex', session: { format: 'opaque', id } });
  expect(subjects.slice(0, 2)).toEqual([{ format: 'complex', application: issSub(agent) }, session(agentTask)]);
  expect(subjects[2]).toEqual(issSub(requester));
  // The second agent has no deputy.
  expect(subjects.slice(3)).toContainEqual({ format: 'complex', application: issSub(scene.claims.act!.sub) });
  expect(subjects.slice(3)).toContainEqual(session(personTask));
  expect(new Set(claims.map(({ events }) => Object.keys(events)[0]))).toEqual(new Set([`${CAEP}session-revoked`]));
});
