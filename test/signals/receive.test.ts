import { randomUUID } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { generateKeyPair } from 'jose';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import { BY_SERVER } from '../../src/model/acting.ts';
import { findSession, startSession } from '../../src/people/session.ts';
import { transact } from '../../src/store/transact.ts';
import { enablePerson } from '../../src/tasks/revoke/enable_person.ts';
import { startTwoNodes, type TwoNodes } from '../faults/two_nodes.ts';
import { Scenario } from '../support/scenario.ts';
import { EVENTS, IdentityProvider, type SetToSign } from './identity_provider.ts';

// Security events of an identity provider, pushed to two servers behind one address.

const DIRECTORY = 'https://directory.example';

let provider: IdentityProvider;
let stranger: IdentityProvider;
let unreachable: IdentityProvider;
let two: TwoNodes;
let scene: Scenario;
beforeAll(async () => {
  const open = () => IdentityProvider.open();
  [provider, stranger, unreachable] = [await open(), await open(), await open()];
  const { issuer, jwksUri: jwks_uri } = provider;
  const narrow = { issuer, jwks_uri, audience: 'countersign' };
  const wide = {
    ...{ issuer: stranger.issuer, jwks_uri: stranger.jwksUri, audience: 'countersign' },
    ...{ subject_issuers: [DIRECTORY], opaque_is_external_id: true },
  };
  const down = { issuer: unreachable.issuer, jwks_uri: unreachable.jwksUri, audience: 'countersign' };
  two = await startTwoNodes({ 'signals.transmitters': [narrow, wide, down] });
  scene = await Scenario.create(two.world.store);
}, 60_000);
afterAll(async () => {
  await two?.close();
  await provider?.close();
  await stranger?.close();
  await unreachable?.close();
});

const store = () => two.world.store;

/** One request, to a node of the test's choice. */
async function push(token: string, node = 0): Promise<{ status: number; body: { err?: string } | null }> {
  const headers = { 'content-type': 'application/secevent+jwt', host: new URL(two.world.issuer).host };
  const answered = Promise.withResolvers<IncomingMessage>();
  const { port } = two.nodes[node]!;
  const options = { host: '127.0.0.1', port, method: 'POST', path: '/api/v1/signals/events', headers };
  request(options, answered.resolve).on('error', answered.reject).end(token);
  const response = await answered.promise;
  const body = await text(response);
  return { status: response.statusCode!, body: body === '' ? null : JSON.parse(body) };
}

async function addPerson(name = 'Eve'): Promise<{ id: string; sub: string }> {
  const { person } = await scene.addPerson(name, false);
  const sub = randomUUID();
  await store()
    .db.insertInto('identities')
    .values({ issuer: provider.issuer, subject: sub, person_id: person.id })
    .execute();
  return { id: person.id, sub };
}

async function stateOf(personId: string): Promise<string> {
  const row = await store()
    .db.selectFrom('people')
    .select('state')
    .where('id', '=', personId)
    .executeTakeFirstOrThrow();
  return row.state;
}

interface LoggedEvent {
  readonly ids: Record<string, string>;
}

async function events(kind: string): Promise<LoggedEvent[]> {
  const rows = await store().db.selectFrom('events').select('body').where('kind', '=', kind).orderBy('id').execute();
  return rows.map(({ body }) => JSON.parse(body) as LoggedEvent);
}

const lastRefusal = async () => (await events('signal.refused')).at(-1)?.ids.reason;

describe('accounts', () => {
  test.each(['disabled', 'purged'] as const)('account-%s disables the person, and says who told', async (event) => {
    const { id, sub } = await addPerson();
    expect(await push(await provider.sign({ event: EVENTS[event], sub }))).toEqual({ status: 202, body: null });
    expect(await stateOf(id)).toBe('disabled');
    expect((await events('signal.received')).at(-1)!.ids).toMatchObject({
      transmitter: provider.issuer,
      person: id,
      effect: 'disabled',
    });
    expect((await events('person.disabled')).at(-1)!.ids).toMatchObject({ person: id, by: 'server' });
  });

  test('account-enabled is noted, and enables nobody', async () => {
    const { id, sub } = await addPerson();
    await push(await provider.sign({ event: EVENTS.disabled, sub }));
    expect((await push(await provider.sign({ event: EVENTS.enabled, sub }))).status).toBe(202);
    expect(await stateOf(id)).toBe('disabled');
    expect((await events('signal.received')).at(-1)!.ids).toMatchObject({ person: id, effect: 'none' });
  });

  test('the last administrator is not disabled: it is refused here, and taken from the transmitter', async () => {
    const administrators = await store()
      .db.updateTable('people')
      .set({ is_administrator: false })
      .where('id', '<>', two.world.operatorId)
      .where('is_administrator', '=', true)
      .returning('id')
      .execute();
    const sub = randomUUID();
    const identity = { issuer: provider.issuer, subject: sub, person_id: two.world.operatorId };
    await store().db.insertInto('identities').values(identity).execute();
    expect((await push(await provider.sign({ event: EVENTS.disabled, sub }))).status).toBe(202);
    expect(await stateOf(two.world.operatorId)).toBe('active');
    expect(await lastRefusal()).toBe('not_done');
    await sql`update people set is_administrator = true where id = any(${administrators.map(({ id }) => id)}::text[])`.execute(
      store().db,
    );
  });
});

describe('replay', () => {
  test('a token that was acted on is taken again, by either server, and acted on no more', async () => {
    const { id, sub } = await addPerson();
    const token = await provider.sign({ event: EVENTS.disabled, sub });
    expect((await push(token)).status).toBe(202);
    expect(await stateOf(id)).toBe('disabled');
    await enablePerson(store(), { personId: id, by: BY_SERVER, reason: '' });
    for (const node of [0, 1]) expect(await push(token, node)).toEqual({ status: 202, body: null });
    expect(await stateOf(id)).toBe('active');
    expect(await lastRefusal()).toBe('replayed');
  });

  test('twenty at once on both servers are one event', async () => {
    const { id, sub } = await addPerson();
    const token = await provider.sign({ event: EVENTS.disabled, sub });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => push(token, index % 2)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    const mine = ({ ids }: LoggedEvent) => ids.person === id;
    expect((await events('signal.received')).filter(mine)).toHaveLength(1);
    expect((await events('person.disabled')).filter(mine)).toHaveLength(1);
  });
});

describe('session-revoked', () => {
  const signIn = (personId: string) =>
    transact(store(), (tx, afterCommit) => startSession(store(), tx, afterCommit, { personId, amr: ['link'] }));

  async function startTask(requesterId: string, oauthGrantId: string | null): Promise<string> {
    await scene.startTask();
    const { id } = scene.claims.task;
    await store()
      .db.updateTable('tasks')
      .set({ requester_id: requesterId, oauth_grant_id: oauthGrantId })
      .where('id', '=', id)
      .execute();
    return id;
  }

  const taskState = async (id: string) =>
    (await store().db.selectFrom('tasks').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;

  test('ends what the person signed in to, and leaves others and their own agents of service alone', async () => {
    const [eve, other] = [await addPerson(), await addPerson('Mallory')];
    const [hers, theirs] = [await signIn(eve.id), await signIn(other.id)];
    const [browser, service] = [await startTask(eve.id, newId('gra')), await startTask(eve.id, null)];
    const sub_id = {
      format: 'complex',
      user: { format: 'iss_sub', iss: provider.issuer, sub: eve.sub },
      session: { format: 'opaque', id: 'known to them alone' },
    };
    expect((await push(await provider.sign({ event: EVENTS.sessionRevoked, sub_id }))).status).toBe(202);
    expect(await findSession(store(), hers.cookieValue)).toBeNull();
    expect(await findSession(store(), theirs.cookieValue)).not.toBeNull();
    expect([await taskState(browser), await taskState(service)]).toEqual(['cancelled', 'active']);
    expect(await stateOf(eve.id)).toBe('active');
    expect((await events('session.ended')).at(-1)!.ids).toMatchObject({ person: eve.id, reason: 'signal' });
  });

  test('an event about the past does not end what began after it', async () => {
    const { id, sub } = await addPerson();
    const session = await signIn(id);
    const event_claims = { event_timestamp: Math.floor(Date.now() / 1000) - 3_600 };
    expect((await push(await provider.sign({ event: EVENTS.sessionRevoked, sub, event_claims }))).status).toBe(202);
    expect(await findSession(store(), session.cookieValue)).not.toBeNull();
  });
});

describe('refused, with an event that says why', () => {
  const seconds = () => Math.floor(Date.now() / 1000);
  const cases: readonly (readonly [string, string, string, () => Partial<SetToSign> | Promise<Partial<SetToSign>>])[] =
    [
      ['another audience', 'audience_wrong', 'invalid_audience', () => ({ claims: { aud: 'https://other.example' } })],
      ['no audience', 'audience_wrong', 'invalid_audience', () => ({ claims: { aud: undefined } })],
      ['another issuer', 'issuer_unknown', 'invalid_issuer', () => ({ claims: { iss: 'https://nobody.example' } })],
      ['an access token by its type', 'type_wrong', 'invalid_request', () => ({ header: { typ: 'at+jwt' } })],
      ['no type', 'type_wrong', 'invalid_request', () => ({ header: { typ: undefined } })],
      ['sub, as in an ID token', 'malformed', 'invalid_request', () => ({ claims: { sub: 'x' } })],
      ['exp, as in an ID token', 'malformed', 'invalid_request', () => ({ claims: { exp: seconds() + 60 } })],
      ['no jti', 'malformed', 'invalid_request', () => ({ claims: { jti: undefined } })],
      [
        'two events',
        'malformed',
        'invalid_request',
        () => ({ claims: { events: { [EVENTS.disabled]: {}, 'urn:x': {} } } }),
      ],
      ['nine days old', 'too_old', 'invalid_request', () => ({ claims: { iat: seconds() - 9 * 86_400 } })],
      ['from tomorrow', 'from_the_future', 'invalid_request', () => ({ claims: { iat: seconds() + 86_400 } })],
      ['a key nobody published', 'key_unknown', 'invalid_key', () => ({ header: { kid: 'other' } })],
      [
        'a mail address',
        'subject_unsupported',
        'invalid_request',
        () => ({ sub_id: { format: 'email', email: 'a@b.c' } }),
      ],
      [
        'an opaque id, unless configured',
        'subject_unsupported',
        'invalid_request',
        () => ({ sub_id: { format: 'opaque', id: 'x' } }),
      ],
      [
        'the people of another issuer',
        'subject_foreign',
        'access_denied',
        () => ({ sub_id: { format: 'iss_sub', iss: DIRECTORY, sub: 'x' } }),
      ],
      [
        'the key of somebody else',
        'signature_wrong',
        'authentication_failed',
        async () => ({ key: (await generateKeyPair('ES256')).privateKey }),
      ],
      [
        'a key that it brings along',
        'signature_wrong',
        'authentication_failed',
        async () => {
          const { privateKey } = await generateKeyPair('ES256');
          return { key: privateKey, header: { jwk: stranger.publicJwk, jku: stranger.jwksUri } };
        },
      ],
    ];

  test.each(cases)('%s', async (_, reason, err, change) => {
    const { id, sub } = await addPerson();
    const answer = await push(await provider.sign({ event: EVENTS.disabled, sub, ...(await change()) }));
    expect(answer).toMatchObject({ status: 400, body: { err, description: expect.any(String) } });
    expect(await lastRefusal()).toBe(reason);
    expect(await stateOf(id)).toBe('active');
  });

  test('a token without a signature, and what is no token', async () => {
    const { id, sub } = await addPerson();
    const [, payload] = (await provider.sign({ event: EVENTS.disabled, sub })).split('.');
    const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'secevent+jwt' })).toString('base64url');
    for (const token of [`${header}.${payload}.`, 'nonsense', '', 'a.b.c', 'x'.repeat(70_000)]) {
      expect(await push(token)).toMatchObject({ status: 400, body: { err: expect.any(String) } });
    }
    expect(await stateOf(id)).toBe('active');
  });

  test('a subject that nobody here is: taken, so that it tells nothing, and recorded', async () => {
    expect(await push(await provider.sign({ event: EVENTS.disabled, sub: 'nobody' }))).toEqual({
      status: 202,
      body: null,
    });
    expect(await lastRefusal()).toBe('subject_unknown');
  });

  test('a transmitter for the subjects of others may not speak of its own, and knows people by their directory id', async () => {
    const { id, sub } = await addPerson();
    await store().db.updateTable('people').set({ external_id: 'e-1', source: 'scim' }).where('id', '=', id).execute();
    await store().db.insertInto('identities').values({ issuer: DIRECTORY, subject: sub, person_id: id }).execute();
    const own = { format: 'iss_sub', iss: stranger.issuer, sub };
    const refused = await push(await stranger.sign({ event: EVENTS.disabled, sub_id: own }));
    expect(refused).toMatchObject({ status: 400, body: { err: 'access_denied' } });
    // What one transmitter may say, another may not: this is the other one's subject.
    const foreign = { format: 'iss_sub', iss: provider.issuer, sub };
    expect((await push(await stranger.sign({ event: EVENTS.disabled, sub_id: foreign }))).status).toBe(400);
    expect(await stateOf(id)).toBe('active');
    const opaque = { format: 'opaque', id: 'e-1' };
    expect((await push(await stranger.sign({ event: EVENTS.disabled, sub_id: opaque }))).status).toBe(202);
    expect(await stateOf(id)).toBe('disabled');
    await enablePerson(store(), { personId: id, by: BY_SERVER, reason: '' });
    const linked = { format: 'iss_sub', iss: DIRECTORY, sub };
    expect((await push(await stranger.sign({ event: EVENTS.purged, sub_id: linked }))).status).toBe(202);
    expect(await stateOf(id)).toBe('disabled');
  });

  test('an event we know nothing of, and a verification, are taken and change nothing', async () => {
    const { id, sub } = await addPerson();
    const before = (await events('signal.refused')).length;
    for (const event of ['urn:example:unknown', 'https://schemas.openid.net/secevent/ssf/event-type/verification']) {
      expect((await push(await provider.sign({ event, sub }))).status).toBe(202);
    }
    expect(await stateOf(id)).toBe('active');
    expect((await events('signal.refused')).length).toBe(before);
  });

  test('keys that cannot be read are an outage: the transmitter is asked to send again, and then it works', async () => {
    const { id, sub } = await addPerson();
    const identity = { issuer: unreachable.issuer, subject: sub, person_id: id };
    await store().db.insertInto('identities').values(identity).execute();
    const token = await unreachable.sign({ event: EVENTS.disabled, sub });
    unreachable.isDown = true;
    expect((await push(token)).status).toBe(503);
    expect(await stateOf(id)).toBe('active');
    unreachable.isDown = false;
    await vi.waitUntil(async () => (await push(token)).status === 202, { timeout: 30_000, interval: 500 });
    expect(await stateOf(id)).toBe('disabled');
  });

  test('somebody who sends nonsense does not fill the log, and does not keep others out', async () => {
    await Promise.all(Array.from({ length: 150 }, () => push('nonsense')));
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from events where kind = 'signal.refused'
        and at > clock_timestamp() - interval '1 minute'`.execute(store().db);
    // A minute may have begun in between.
    expect(rows[0]!.count).toBeLessThanOrEqual(120);
    const { id, sub } = await addPerson();
    expect((await push(await provider.sign({ event: EVENTS.disabled, sub }))).status).toBe(202);
    expect(await stateOf(id)).toBe('disabled');
  });
});
