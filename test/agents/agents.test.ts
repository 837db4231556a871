import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findOrCreateInteractiveAgent } from '../../src/agents/interactive.ts';
import { AGENT_NAME_LENGTH_MAX, KEYS_PER_AGENT_MAX, PURPOSE_LENGTH_MAX } from '../../src/agents/limits.ts';
import { type CreateAgent, createAgent, findServiceAgentByClient } from '../../src/agents/registry.ts';
import { snapshot } from '../api/unchanged.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let scene: Scenario;
let key: JWK;
let input: CreateAgent;

beforeAll(async () => {
  database = await createTestDatabase();
  scene = await Scenario.create(createTestStore(database));
  key = await exportJWK((await generateKeyPair('ES256')).publicKey);
});
afterAll(() => database.drop());
beforeEach(() => {
  const by = scene.administrator.person.id;
  input = {
    name: 'Billing',
    purpose: 'Sends invoices',
    ownerId: scene.requester.person.id,
    by,
    keys: [key],
    bound: null,
  };
});

const create = (changes: Partial<CreateAgent> = {}) => createAgent(scene.store, { ...input, ...changes });

describe('a service agent', () => {
  test('has an accountable owner and a client with nothing but its public keys', async () => {
    const made = await create({ keys: [{ ...key, use: 'enc', alg: 'RS256', ext: true } as JWK] });
    if (!made.ok) throw new Error(made.refusal.message);
    expect(made.value).toMatchObject({ kind: 'service', state: 'active', owner_id: scene.requester.person.id });
    const found = await findServiceAgentByClient(scene.store, made.value.client_id);
    expect(found?.id).toBe(made.value.id);
    const client = await database.db
      .selectFrom('oauth_clients')
      .selectAll()
      .where('client_id', '=', made.value.client_id)
      .executeTakeFirstOrThrow();
    const { kty, crv, x, y } = key;
    expect(client).toMatchObject({
      source: 'agent',
      metadata: {
        token_endpoint_auth_method: 'private_key_jwt',
        grant_types: ['client_credentials'],
        jwks: { keys: [{ kty, crv, x, y, alg: 'ES256', use: 'sig' }] },
      },
    });
  });

  test.each<[string, string, () => Partial<CreateAgent>]>([
    ['not_allowed', 'registered by somebody who is no administrator', () => ({ by: scene.requester.person.id })],
    ['not_allowed', 'registered by nobody', () => ({ by: 'prs_x' })],
    ['request_invalid', 'without an owner', () => ({ ownerId: 'prs_x' })],
    ['request_invalid', 'without a name', () => ({ name: '  ' })],
    ['request_invalid', 'with a name too long', () => ({ name: 'x'.repeat(AGENT_NAME_LENGTH_MAX + 1) })],
    ['request_invalid', 'without a purpose', () => ({ purpose: '\n' })],
    ['request_invalid', 'with a purpose too long', () => ({ purpose: 'x'.repeat(PURPOSE_LENGTH_MAX + 1) })],
    ['request_invalid', 'without a key', () => ({ keys: [] })],
    [
      'request_invalid',
      'with too many keys',
      () => ({ keys: Array.from({ length: KEYS_PER_AGENT_MAX + 1 }, () => key) }),
    ],
    ['request_invalid', 'with a private key', () => ({ keys: [key, { ...key, d: 'x' }] })],
    ['request_invalid', 'with a symmetric key', () => ({ keys: [{ kty: 'oct', k: 'x' }] })],
    ['request_invalid', 'with a key of another curve', () => ({ keys: [{ ...key, crv: 'P-384' }] })],
  ])('%s: %s', async (code, _what, changes) => {
    const before = await snapshot(scene.store);
    expect(await create(changes())).toMatchObject({ ok: false, refusal: { code } });
    expect(await snapshot(scene.store)).toEqual(before);
  });

  test('is not owned or registered by somebody who was disabled', async () => {
    const gone = await scene.addPerson('Eve', true);
    await database.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', gone.person.id).execute();
    expect(await create({ by: gone.person.id })).toMatchObject({ ok: false, refusal: { code: 'not_allowed' } });
    expect(await create({ ownerId: gone.person.id })).toMatchObject({
      ok: false,
      refusal: { code: 'request_invalid' },
    });
  });
});

describe('an interactive agent', () => {
  test('is one per client and person, also when it is met first in many places at once', async () => {
    const personId = scene.requester.person.id;
    const client = { clientId: 'https://editor.example/client.json', clientName: 'Editor' };
    const meet = (id: string) => findOrCreateInteractiveAgent(scene.store, { ...client, personId: id });
    const met = await Promise.all(Array.from({ length: 10 }, () => meet(personId)));
    expect(new Set(met.map(({ agentId }) => agentId)).size).toBe(1);
    const other = await meet(scene.administrator.person.id);
    expect(other.agentId).not.toBe(met[0]!.agentId);
    const created = (await scene.events('agent.created')).filter((event) =>
      JSON.stringify(event).includes(client.clientId),
    );
    expect(created).toHaveLength(2);
  });

  test('gets no API of service agents by its client', async () => {
    expect(await findServiceAgentByClient(scene.store, 'https://editor.example/client.json')).toBeUndefined();
  });
});
