import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { approveAgent, refuseAgent } from '../../src/agents/approve.ts';
import { approveChange, changeAgent, pendingChangeOf, refuseChange } from '../../src/agents/change.ts';
import { findAgentKeys, listOwnerships } from '../../src/agents/find_agents.ts';
import { PENDING_AGENTS_PER_PERSON_MAX } from '../../src/agents/limits.ts';
import { approvePeer, listPeers } from '../../src/agents/peers.ts';
import { type ProposeAgent, proposeAgent } from '../../src/agents/propose.ts';
import { type Agent, findAgent } from '../../src/agents/registry.ts';
import { replaceAgentKeys } from '../../src/agents/replace_keys.ts';
import type { SomeTerms } from '../../src/agents/terms.ts';
import { transferAgent } from '../../src/agents/transfer.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { Result } from '../../src/kernel/result.ts';
import type { Acting } from '../../src/model/acting.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { makeApiToken } from '../../src/people/api_tokens.ts';
import { disablePerson } from '../../src/tasks/revoke/disable_person.ts';
import { removePeer } from '../../src/tasks/revoke/remove_peer.ts';
import { suspendAgent } from '../../src/tasks/revoke/suspend_agent.ts';
import type { Refusal, RefusalCode } from '../../src/wire/refusals.ts';
import { snapshot } from '../api/unchanged.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let scene: Scenario;
/** The proposer and administrator, and another administrator. */
let olga: SignedIn;
let grace: SignedIn;
let owner: SignedIn;
let deputy: SignedIn;

beforeAll(async () => {
  database = await createTestDatabase();
  scene = await Scenario.create(createTestStore(database));
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.db.updateTable('agents').set({ state: 'offboarded' }).where('state', '=', 'pending').execute();
  [olga, grace] = [await scene.addPerson('Olga', true), await scene.addPerson('Grace', true)];
  [owner, deputy] = [await scene.addPerson('Otto', false), await scene.addPerson('Dora', false)];
});

const person = ({ person: { id } }: SignedIn): Acting & { kind: 'person' } => ({ kind: 'person', id });
const key = async (): Promise<JWK> => exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey);

/** The same bytes: of the last of 43 letters of base64url two bits say nothing. */
function inOtherLetters(text: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + letters[letters.indexOf(text.at(-1)!) + 1];
}

async function proposal(changes: Partial<ProposeAgent> = {}): Promise<ProposeAgent> {
  return {
    name: 'Billing',
    purpose: 'Sends invoices',
    ownerId: owner.person.id,
    deputyId: deputy.person.id,
    credentials: { keys: [await key()] },
    ...changes,
  };
}

function got<Value>(result: Result<Value, Refusal>): Value {
  if (!result.ok) throw new Error(`${result.refusal.code}: ${result.refusal.message}`);
  return result.value;
}

async function proposed(changes: Partial<ProposeAgent> = {}, by: Acting = person(olga)): Promise<Agent> {
  return got(await proposeAgent(scene.store, await proposal(changes), by));
}

async function active(terms: SomeTerms = {}): Promise<Agent> {
  const { id } = await proposed({ terms });
  return got(await approveAgent(scene.store, { agentId: id, by: grace.person.id }));
}

const now = async (agentId: string): Promise<Agent> => (await findAgent(scene.store, agentId))!;

/** So that what follows runs on as many connections at once, and none is only being opened. */
async function warmPool(): Promise<void> {
  await Promise.all(Array.from({ length: 24 }, () => sql`select pg_sleep(0.05)`.execute(database.db)));
}

/** Refused with this code, in words that name the trouble, and nothing changed. */
async function expectRefused(code: RefusalCode, words: RegExp, work: () => Promise<Result<unknown, Refusal>>) {
  const before = await snapshot(scene.store);
  const result = await work();
  expect(result).toMatchObject({ ok: false, refusal: { code } });
  if (!result.ok) expect(result.refusal.message).toMatch(words);
  expect(await snapshot(scene.store)).toEqual(before);
}

async function eventsOf(kind: string, agentId: string) {
  return (await scene.events(kind)).filter((event) => (event.ids as Record<string, unknown>).agent === agentId);
}

describe('a proposal', () => {
  test('waits, with its people remembered, until an administrator other than its proposer approves it', async () => {
    const { id } = await proposed();
    expect(await now(id)).toMatchObject({ state: 'pending', proposed_by: olga.person.id, deputy_id: deputy.person.id });
    const approve = (by: SignedIn) => approveAgent(scene.store, { agentId: id, by: by.person.id });
    await expectRefused('not_allowed', /yourself/, () => approve(olga));
    await expectRefused('not_allowed', /administrator/, () => approve(owner));
    expect(await approve(grace)).toMatchObject({ ok: true, value: { state: 'active', approved_by: grace.person.id } });
    await expectRefused('conflict', /active already/, () => approve(grace));
    expect(await listOwnerships(scene.store, id)).toMatchObject([{ until: null }, { until: null }]);
    expect(await eventsOf('agent.activated', id)).toMatchObject([{ ids: { by: grace.person.id, people: 2 } }]);
  });

  test.each<
    [RefusalCode, RegExp, string, (all: { gone: string }) => Partial<ProposeAgent> | Promise<Partial<ProposeAgent>>]
  >([
    [
      'request_invalid',
      /no person with the id of the owner/,
      'an owner who does not exist',
      () => ({ ownerId: 'prs_x' }),
    ],
    ['request_invalid', /owner was disabled/, 'an owner who was disabled', ({ gone }) => ({ ownerId: gone })],
    ['request_invalid', /Name a deputy/, 'no deputy', () => ({ deputyId: null })],
    [
      'request_invalid',
      /no person with the id of the deputy/,
      'a deputy who does not exist',
      () => ({ deputyId: 'prs_x' }),
    ],
    ['request_invalid', /deputy was disabled/, 'a deputy who was disabled', ({ gone }) => ({ deputyId: gone })],
    ['request_invalid', /two people/, 'one person as both', () => ({ deputyId: owner.person.id })],
    [
      'request_invalid',
      /curve/,
      'a key that is no point of the curve',
      async () => ({ credentials: { keys: [{ ...(await key()), x: (await key()).x! }] } }),
    ],
    [
      'request_invalid',
      /twice/,
      'a key twice',
      async () => {
        const one = await key();
        return { credentials: { keys: [one, { ...one, kid: 'other' }] } };
      },
    ],
    [
      'request_invalid',
      /written/,
      'a key in other letters, which would pass for a new one',
      async () => {
        const one = await key();
        return { credentials: { keys: [one, { ...one, x: inOtherLetters(one.x!) }] } };
      },
    ],
    [
      'request_invalid',
      /no tool "nothing"/,
      'a tool nobody lists',
      () => ({ terms: { bound: { [scene.server.id]: ['nothing'] } } }),
    ],
    [
      'request_invalid',
      /no tool server/,
      'a tool server that does not exist',
      () => ({ terms: { bound: { tsv_x: ['a'] } } }),
    ],
    ['request_invalid', /in the future/, 'an end in the past', () => ({ terms: { ends_at: '2020-01-01T00:00:00Z' } })],
    ['request_invalid', /https URL/, 'keys at no address', () => ({ credentials: { jwksUri: 'file:///etc/passwd' } })],
    [
      'request_invalid',
      /listed here/,
      'a deadline for keys it has not',
      () => ({ credentials: { isWorkloadOnly: true }, terms: { key_days: 5 } }),
    ],
  ])('%s: %s: %s', async (code, words, _what, changes) => {
    const gone = await scene.addPerson('Eve', false);
    await database.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', gone.person.id).execute();
    const input = await proposal(await changes({ gone: gone.person.id }));
    await expectRefused(code, words, () => proposeAgent(scene.store, input, person(olga)));
  });

  test('with the key of another agent is refused: each has keys of its own', async () => {
    const shared = await key();
    await proposed({ credentials: { keys: [shared] } });
    const second = await proposal({ credentials: { keys: [await key(), { ...shared, kid: 'x' }] } });
    await expectRefused('conflict', /another client/, () => proposeAgent(scene.store, second, person(olga)));
    const credentials = { keys: [await key()] };
    const same = await Promise.all(Array.from({ length: 20 }, () => proposal({ credentials })));
    await warmPool();
    const both = await Promise.all(same.map((input) => proposeAgent(scene.store, input, person(olga))));
    expect(both.filter((one) => one.ok)).toHaveLength(1);
  });

  test('is not approved by who made the API token that proposed it', async () => {
    const { id } = got(
      await makeApiToken(scene.store, { name: 'ci', scopes: ['agents:write'], seconds: 60, by: person(olga) }),
    );
    const agent = await proposed({}, { kind: 'api_token', id });
    expect(agent.proposed_by).toBe(olga.person.id);
    await expectRefused('not_allowed', /yourself/, () =>
      approveAgent(scene.store, { agentId: agent.id, by: olga.person.id }),
    );
  });

  test('of a machine nobody is known to stand behind is not said to be the work of two people', async () => {
    const server = { kind: 'server', id: 'server' } as const;
    const { id } = got(
      await makeApiToken(scene.store, { name: 'ci', scopes: ['agents:write'], seconds: 60, by: server }),
    );
    const agent = await proposed({}, { kind: 'api_token', id });
    got(await approveAgent(scene.store, { agentId: agent.id, by: grace.person.id }));
    expect(await eventsOf('agent.activated', agent.id)).toMatchObject([{ ids: { proposed_by: null, people: 1 } }]);
  });

  test('is not approved once its owner or deputy was disabled', async () => {
    for (const gone of [owner, deputy]) {
      const { id } = await proposed();
      await database.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', gone.person.id).execute();
      await expectRefused('conflict', /disabled/, () =>
        approveAgent(scene.store, { agentId: id, by: grace.person.id }),
      );
      await database.db.updateTable('people').set({ state: 'active' }).where('id', '=', gone.person.id).execute();
    }
  });

  test('stays as it was proposed, and is taken back or refused', async () => {
    const { id } = await proposed();
    const stranger = await scene.addPerson('Sam', false);
    const agentId = id;
    await expectRefused('conflict', /as it was proposed/, () =>
      changeAgent(scene.store, { agentId, terms: { delegation_depth_max: 3 }, by: person(grace) }),
    );
    await expectRefused('conflict', /as it was proposed/, async () =>
      replaceAgentKeys(scene.store, { agentId, keys: [await key()], by: person(owner) }),
    );
    await expectRefused('conflict', /as it was proposed/, () =>
      transferAgent(scene.store, { agentId, ownerId: stranger.person.id, by: person(grace) }),
    );
    const refuse = (by: SignedIn) => refuseAgent(scene.store, { agentId, by: person(by), reason: 'No need' });
    await expectRefused('not_found', /no such agent/, () => refuse(stranger));
    expect(await refuse(olga)).toMatchObject({ ok: true, value: { state: 'offboarded', state_reason: 'No need' } });
    await expectRefused('conflict', /offboarded/, () => approveAgent(scene.store, { agentId, by: grace.person.id }));
  });

  test('of one person is one of few', async () => {
    for (let made = 0; made < PENDING_AGENTS_PER_PERSON_MAX; made += 1) await proposed({}, person(owner));
    const more = await proposal();
    await expectRefused('rate_limited', /wait already/, () => proposeAgent(scene.store, more, person(owner)));
    await proposed({}, person(deputy));
  });

  test('is made by people who are active, and by no agent', async () => {
    await database.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', olga.person.id).execute();
    const input = await proposal();
    await expectRefused('not_allowed', /active person/, () => proposeAgent(scene.store, input, person(olga)));
    await expectRefused('not_allowed', /active person/, () =>
      proposeAgent(scene.store, input, { kind: 'agent', id: newId('agt') }),
    );
  });
});

describe('in single-operator mode', () => {
  test('one person may be everything, and the log says so', async () => {
    const store = createTestStore(database, { rules: { singleOperator: true } });
    const input = await proposal({ ownerId: olga.person.id, deputyId: null });
    const { id } = got(await proposeAgent(store, input, person(olga)));
    expect(await approveAgent(store, { agentId: id, by: olga.person.id })).toMatchObject({ ok: true });
    expect(await eventsOf('agent.activated', id)).toMatchObject([{ ids: { people: 1 } }]);
  });
});

describe('a change', () => {
  const READ = () => ({ [scene.server.id]: ['read_file'] });
  const BOTH = () => ({ [scene.server.id]: ['read_file', 'write_file'] });

  test('that takes away holds at once; one that gives waits for another administrator', async () => {
    const { id: agentId } = await active({ bound: BOTH(), key_days: 90 });
    const asked = { bound: READ(), delegation_depth_max: 2, key_days: 30 };
    const changed = got(await changeAgent(scene.store, { agentId, terms: asked, by: person(owner) }));
    expect(changed).toMatchObject({ changed: ['bound', 'key_days'], waiting: ['delegation_depth_max'] });
    expect(changed.agent).toMatchObject({ bound: READ(), key_days: 30, delegation_depth_max: 0 });
    const { id: changeId } = pendingChangeOf(changed.agent)!;
    await expectRefused('not_allowed', /administrator/, () =>
      approveChange(scene.store, { agentId, changeId, by: owner.person.id }),
    );
    await expectRefused('page_outdated', /does not wait/, () =>
      approveChange(scene.store, { agentId, changeId: 'another', by: grace.person.id }),
    );
    const approved = await approveChange(scene.store, { agentId, changeId, by: grace.person.id });
    expect(approved).toMatchObject({ ok: true, value: { delegation_depth_max: 2, pending_change: null } });
    expect(await eventsOf('agent.changed', agentId)).toMatchObject([
      { ids: { terms: 'bound key_days', by: owner.person.id } },
      { ids: { terms: 'delegation_depth_max', by: grace.person.id, asked_by: owner.person.id } },
    ]);
  });

  test('is not approved by the administrator who asked for it', async () => {
    const { id: agentId } = await active();
    const asked = got(await changeAgent(scene.store, { agentId, terms: { trust_zone: 'pay' }, by: person(grace) }));
    const { id: changeId } = pendingChangeOf(asked.agent)!;
    await expectRefused('not_allowed', /yourself/, () =>
      approveChange(scene.store, { agentId, changeId, by: grace.person.id }),
    );
    await expectRefused('conflict', /waits for approval already/, () =>
      changeAgent(scene.store, { agentId, terms: { delegation_depth_max: 5 }, by: person(owner) }),
    );
    expect(await refuseChange(scene.store, { agentId, changeId, by: person(deputy) })).toMatchObject({ ok: true });
    expect(await now(agentId)).toMatchObject({ trust_zone: '', pending_change: null });
  });

  test('that waits gives nothing back that was taken meanwhile', async () => {
    const { id: agentId } = await active({ bound: READ() });
    const terms = { bound: BOTH(), trust_zone: 'pay' };
    const asked = got(await changeAgent(scene.store, { agentId, terms, by: person(owner) }));
    const { id: changeId } = pendingChangeOf(asked.agent)!;
    got(await changeAgent(scene.store, { agentId, terms: { bound: {} }, by: person(deputy) }));
    got(await approveChange(scene.store, { agentId, changeId, by: grace.person.id }));
    const { bound, trust_zone: zone } = await now(agentId);
    expect({ bound, zone }).toEqual({ bound: {}, zone: 'pay' });
  });

  test('is none of the business of others, of agents, or of offboarded ones', async () => {
    const { id: agentId } = await active();
    const stranger = await scene.addPerson('Sam', false);
    const terms = { delegation_depth_max: 1 };
    for (const by of [person(stranger), { kind: 'agent', id: agentId } as const]) {
      await expectRefused('not_found', /no such agent/, () => changeAgent(scene.store, { agentId, terms, by }));
    }
    await database.db.updateTable('agents').set({ state: 'offboarded' }).where('id', '=', agentId).execute();
    await expectRefused('conflict', /offboarded/, () =>
      changeAgent(scene.store, { agentId, terms, by: person(grace) }),
    );
  });

  test('to tools that nobody lists, or an end in the past, is refused', async () => {
    const { id: agentId } = await active({ bound: READ() });
    const by = person(owner);
    for (const [words, terms] of [
      [/lists no tool/, { bound: { [scene.server.id]: ['later'] } }],
      [/in the future/, { ends_at: '2020-01-01T00:00:00Z' }],
    ] as const) {
      await expectRefused('request_invalid', words, () => changeAgent(scene.store, { agentId, terms, by }));
    }
  });
});

describe('a transfer', () => {
  test('gives other people, remembers those of before, and takes active ones only', async () => {
    const { id: agentId } = await active();
    const [next, gone] = [await scene.addPerson('Nina', false), await scene.addPerson('Eve', false)];
    await database.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', gone.person.id).execute();
    const transfer = (to: { ownerId?: string; deputyId?: string }, by = person(owner)) =>
      transferAgent(scene.store, { agentId, by, ...to });
    await expectRefused('request_invalid', /disabled/, () => transfer({ ownerId: gone.person.id }));
    await expectRefused('request_invalid', /no person/, () => transfer({ deputyId: 'prs_x' }));
    await expectRefused('request_invalid', /two people/, () => transfer({ ownerId: deputy.person.id }));
    expect(await transfer({ ownerId: next.person.id })).toMatchObject({
      ok: true,
      value: { owner_id: next.person.id },
    });
    // Who was the owner has no say any more.
    await expectRefused('not_found', /no such agent/, () => transfer({ ownerId: owner.person.id }));
    const history = await listOwnerships(scene.store, agentId);
    expect(
      history
        .filter((one) => one.until === null)
        .map((one) => one.person_id)
        .sort(),
    ).toEqual([next.person.id, deputy.person.id].sort());
    expect(history.find((one) => one.person_id === owner.person.id)?.until).toBeInstanceOf(Date);
  });

  test('of an agent of a release that kept the present owner only remembers that one too', async () => {
    const { id: agentId } = await active();
    await database.db.deleteFrom('agent_ownerships').where('agent_id', '=', agentId).execute();
    const next = await scene.addPerson('Nina', false);
    got(await transferAgent(scene.store, { agentId, ownerId: next.person.id, by: person(grace) }));
    const history = await listOwnerships(scene.store, agentId);
    expect(history).toContainEqual(expect.objectContaining({ person_id: owner.person.id, until: expect.any(Date) }));
  });
});

describe('keys', () => {
  test('that are left out sign nothing more; those listed again keep their age', async () => {
    const first = await key();
    const { id: agentId } = await proposed({ credentials: { keys: [first] }, terms: { key_days: 90 } });
    got(await approveAgent(scene.store, { agentId, by: grace.person.id }));
    const before = new Date(Date.now() - 80 * 86_400_000);
    await database.db.updateTable('agents').set({ key_changed_at: before }).where('id', '=', agentId).execute();
    const { metadata } = await database.db
      .selectFrom('oauth_clients')
      .select('metadata')
      .where('client_id', '=', agentId)
      .executeTakeFirstOrThrow();
    const aged = { ...metadata, jwks: { keys: [{ ...first, iat: Math.floor(before.getTime() / 1000) }] } };
    await database.db
      .updateTable('oauth_clients')
      .set({ metadata: JSON.stringify(aged) })
      .where('client_id', '=', agentId)
      .execute();
    const replace = (keys: JWK[]) => replaceAgentKeys(scene.store, { agentId, keys, by: person(owner) });
    await expectRefused('request_invalid', /None of these keys is new/, () => replace([{ ...first, kid: 'renamed' }]));
    const second = await key();
    const overlapping = got(await replace([first, second]));
    expect(Math.abs(overlapping.key_changed_at.getTime() - before.getTime())).toBeLessThan(1000);
    const third = await key();
    const fresh = got(await replace([second, third]));
    expect(Date.now() - fresh.key_changed_at.getTime()).toBeLessThan(60_000);
    expect((await findAgentKeys(scene.store, fresh))!.keys).toHaveLength(2);
    expect(await eventsOf('agent.keys_changed', agentId)).toHaveLength(2);
  });

  test('of another agent are refused', async () => {
    const shared = await key();
    await proposed({ credentials: { keys: [shared] } });
    const { id: agentId } = await active();
    await expectRefused('conflict', /another client/, () =>
      replaceAgentKeys(scene.store, { agentId, keys: [shared], by: person(owner) }),
    );
  });
});

describe('peers', () => {
  test('are approved in each direction by whoever answers for that agent', async () => {
    const one = await active();
    const otherOwner = await scene.addPerson('Ossi', false);
    const other = await proposed({ ownerId: otherOwner.person.id });
    const approve = (agentId: string, direction: 'to' | 'from', peerId: string, by: SignedIn) =>
      approvePeer(scene.store, { agentId, direction, peerId, by: by.person.id });
    await expectRefused('request_invalid', /waits for approval/, () => approve(one.id, 'to', other.id, owner));
    got(await approveAgent(scene.store, { agentId: other.id, by: grace.person.id }));
    await expectRefused('request_invalid', /no peer of itself/, () => approve(one.id, 'to', one.id, owner));
    await expectRefused('request_invalid', /no agent/, () => approve(one.id, 'to', 'agt_x', owner));
    await expectRefused('not_found', /no such agent/, () => approve(other.id, 'from', one.id, owner));
    got(await approve(one.id, 'to', other.id, owner));
    got(await approve(one.id, 'to', other.id, owner));
    expect(await listPeers(scene.store, one.id)).toMatchObject([{ direction: 'to', is_mutual: false }]);
    got(await approve(other.id, 'from', one.id, otherOwner));
    expect(await listPeers(scene.store, one.id)).toMatchObject([{ peer_id: other.id, is_mutual: true }]);
    expect(await eventsOf('agent.peer_approved', one.id)).toHaveLength(1);
    const remove = () =>
      removePeer(scene.store, { agentId: one.id, direction: 'to', peerId: other.id, by: person(deputy) });
    got(await remove());
    await expectRefused('not_found', /no such peer/, remove);
    expect(await listPeers(scene.store, other.id)).toMatchObject([{ is_mutual: false }]);
  });
});

describe('at once', () => {
  beforeEach(() => warmPool());
  const MANY = 24;

  test('of many who approve, one does', async () => {
    const { id } = await proposed();
    const administrators = await Promise.all(Array.from({ length: MANY }, (_, at) => scene.addPerson(`A${at}`, true)));
    const results = await Promise.all(
      administrators.map((one) => approveAgent(scene.store, { agentId: id, by: one.person.id })),
    );
    expect(results.filter((one) => one.ok)).toHaveLength(1);
    expect(results.filter((one) => !one.ok && one.refusal.code === 'conflict')).toHaveLength(MANY - 1);
    expect(await eventsOf('agent.activated', id)).toHaveLength(1);
  });

  test('approved and refused: one of them, and never both', async () => {
    for (let round = 0; round < 6; round += 1) {
      const { id } = await proposed();
      const [approved, refusedIt] = await Promise.all([
        approveAgent(scene.store, { agentId: id, by: grace.person.id }),
        refuseAgent(scene.store, { agentId: id, by: person(olga), reason: '' }),
      ]);
      expect([approved.ok, refusedIt.ok].filter(Boolean)).toHaveLength(1);
      expect((await now(id)).state).toBe(approved.ok ? 'active' : 'offboarded');
    }
  });

  test('many transfers leave one owner, and every owner in between is remembered', async () => {
    const { id: agentId } = await active();
    const people = await Promise.all(Array.from({ length: MANY }, (_, at) => scene.addPerson(`T${at}`, false)));
    const results = await Promise.all(
      people.map((one) => transferAgent(scene.store, { agentId, ownerId: one.person.id, by: person(grace) })),
    );
    const done = people.filter((_, at) => results[at]!.ok);
    expect(done.length).toBeGreaterThan(0);
    const owners = (await listOwnerships(scene.store, agentId)).filter((one) => one.role === 'owner');
    expect(owners.filter((one) => one.until === null)).toMatchObject([{ person_id: (await now(agentId)).owner_id }]);
    expect(new Set(owners.map((one) => one.person_id))).toEqual(
      new Set([owner.person.id, ...done.map((one) => one.person.id)]),
    );
    expect(await eventsOf('agent.transferred', agentId)).toHaveLength(done.length);
  });

  test('an owner is disabled while agents are approved and given to them: no agent of theirs stays active', async () => {
    const pending = await Promise.all(Array.from({ length: 8 }, () => proposed()));
    const others = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const mine = await scene.addPerson('Mine', false);
        const { id } = await proposed({ ownerId: mine.person.id });
        return got(await approveAgent(scene.store, { agentId: id, by: grace.person.id }));
      }),
    );
    await Promise.all([
      ...pending.map(({ id }) => approveAgent(scene.store, { agentId: id, by: grace.person.id })),
      disablePerson(scene.store, { personId: owner.person.id, by: person(olga), reason: '' }),
      ...others.map(({ id }) =>
        transferAgent(scene.store, { agentId: id, ownerId: owner.person.id, by: person(grace) }),
      ),
    ]);
    const theirs = await database.db
      .selectFrom('agents')
      .select(['id', 'state'])
      .where('owner_id', '=', owner.person.id)
      .where('state', '=', 'active')
      .execute();
    expect(theirs).toEqual([]);
  });

  test('suspended by many while it is approved for more: the change holds, and it is suspended once', async () => {
    const { id: agentId } = await active();
    const asked = got(await changeAgent(scene.store, { agentId, terms: { trust_zone: 'pay' }, by: person(owner) }));
    const { id: changeId } = pendingChangeOf(asked.agent)!;
    const results = await Promise.all([
      ...Array.from({ length: MANY }, () => suspendAgent(scene.store, { agentId, by: person(owner), reason: 'Stop' })),
      approveChange(scene.store, { agentId, changeId, by: grace.person.id }),
      approveChange(scene.store, { agentId, changeId, by: olga.person.id }),
    ]);
    expect(results.slice(0, MANY).every((one) => one.ok)).toBe(true);
    expect(results.slice(MANY).filter((one) => one.ok)).toHaveLength(1);
    expect(await now(agentId)).toMatchObject({ state: 'suspended', trust_zone: 'pay' });
    expect(await eventsOf('agent.suspended', agentId)).toHaveLength(1);
  });
});
