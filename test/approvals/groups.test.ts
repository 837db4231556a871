import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { changeGroup, createGroup, deleteGroup } from '../../src/people/directory/groups.ts';
import { changeMembers } from '../../src/people/directory/members.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { disablePerson } from '../../src/tasks/revoke/disable_person.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { createTestStore } from '../support/test_store.ts';

const BY = { kind: 'server', id: 'server' } as const;
const ROUNDS = 20;
let database: TestDatabase;
let store: Store;
let scene: Scenario;
let groups = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database, { log: silentLogger });
});
afterAll(() => database.drop());
beforeEach(() => {
  groups += 1;
});

async function underGate(approvers: string, quorum = 1): Promise<void> {
  await underPolicy(`@id("all") permit (principal, action, resource);
@id("asks") @stepup("Look.") @approvers("${approvers}") @quorum("${quorum}")
forbid (principal, action == Action::"call", resource is Tool) unless { context.approvals.contains("gate") };`);
}

async function underPolicy(text: string): Promise<void> {
  await scene?.freeNames();
  const folder = await makeScratchDirectory('policies');
  await writeFile(join(folder, 'test.cedar'), text);
  scene = await Scenario.create(store, folder);
}

/** A person whom the directory made, as it makes them. */
async function colleague(name: string): Promise<SignedIn> {
  const person = await scene.addPerson(name, false);
  await store.db.updateTable('people').set({ source: 'scim' }).where('id', '=', person.person.id).execute();
  return person;
}

async function groupOf(name: string, people: readonly SignedIn[]): Promise<string> {
  const memberIds = people.map(({ person }) => person.id);
  const made = await createGroup(store, { displayName: name, externalId: null, memberIds, by: BY });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.id;
}

const without = (id: string, person: SignedIn) =>
  changeGroup(store, { id, by: BY }, (now) => ({
    ok: true,
    value: { ...now, memberIds: now.memberIds.filter((one) => one !== person.person.id) },
  }));
const refused = (code: string) => ({ ok: false, refusal: { code } });

describe('T33: who may decide where a gate names a group', () => {
  it('its members, and nobody else; by its name and by its id', async () => {
    const name = `approvers-${groups}`;
    await underGate(`group:${name}`);
    const [inside, outside] = [await colleague('In'), await colleague('Out')];
    const id = await groupOf(name, [inside]);
    const first = await scene.ask('write_file', { path: 'a' });
    expect(await scene.decide(first, outside, 'approve')).toMatchObject({ ok: false });
    expect(await scene.decide(first, scene.administrator, 'approve')).toMatchObject(refused('not_an_approver'));
    expect(await scene.decide(first, inside, 'approve')).toMatchObject({ ok: true, value: { state: 'approved' } });
    expect(await scene.redeem('write_file', { path: 'a' })).toMatchObject({ ok: true });
    await underGate(`group:${id}`);
    const second = await scene.ask('write_file', { path: 'a' });
    expect(await scene.decide(second, inside, 'approve')).toMatchObject({ ok: true });
  });

  it('nobody, where the group is unknown, empty or deleted: the call is refused at once', async () => {
    const name = `approvers-${groups}`;
    await underGate(`group:${name}`);
    const denied = { decision: 'deny', refusal: { error: 'no_eligible_approver' } };
    expect(await scene.evaluate('write_file', { path: 'a' })).toMatchObject(denied);
    const id = await groupOf(name, []);
    expect(await scene.evaluate('write_file', { path: 'a' })).toMatchObject(denied);
    const member = await colleague('Member');
    await changeGroup(store, { id, by: BY }, (now) => ({ ok: true, value: { ...now, memberIds: [member.person.id] } }));
    await scene.ask('write_file', { path: 'b' });
    await deleteGroup(store, { id, by: BY });
    expect(await scene.evaluate('write_file', { path: 'c' })).toMatchObject(denied);
  });

  it('not the requester of the call, although they are in the group', async () => {
    const name = `approvers-${groups}`;
    await underGate(`group:${name}`);
    await store.db.updateTable('people').set({ source: 'scim' }).where('id', '=', scene.requester.person.id).execute();
    await groupOf(name, [scene.requester, await colleague('Other')]);
    const stepUp = await scene.ask('write_file', { path: 'a' });
    expect(await scene.decide(stepUp, scene.requester, 'approve')).toMatchObject(refused('not_an_approver'));
  });

  it('nobody who left after the page was shown, whose group was deleted or renamed, or who was disabled (T28)', async () => {
    const name = `approvers-${groups}`;
    await underGate(`group:${name}`);
    const [left, disabled, stays] = [await colleague('Left'), await colleague('Disabled'), await colleague('Stays')];
    const id = await groupOf(name, [left, disabled, stays]);
    const stepUp = await scene.ask('write_file', { path: 'a' });
    await without(id, left);
    await disablePerson(store, { personId: disabled.person.id, by: BY, reason: '' });
    for (const person of [left, disabled]) {
      expect(await scene.decide(stepUp, person, 'approve')).toMatchObject({ ok: false });
    }
    await changeGroup(store, { id, by: BY }, (now) => ({
      ok: true,
      value: { ...now, displayName: `${name}-renamed` },
    }));
    expect(await scene.decide(stepUp, stays, 'approve')).toMatchObject({ ok: false });
    await changeGroup(store, { id, by: BY }, (now) => ({ ok: true, value: { ...now, displayName: name } }));
    await deleteGroup(store, { id, by: BY });
    expect(await scene.decide(stepUp, stays, 'approve')).toMatchObject({ ok: false });
  });
});

it('policy sees the groups of requester and owner as they are at the call', async () => {
  const name = `support-${groups}`;
  await underPolicy(`@id("members") permit (principal, action == Action::"call", resource)
    when { context.requester in Group::"${name}" && principal.owner in Group::"${name}" };`);
  const { requester } = scene;
  await store.db.updateTable('people').set({ source: 'scim' }).where('id', '=', requester.person.id).execute();
  const denied = { decision: 'deny', refusal: { error: 'policy_denied' } };
  expect(await scene.evaluate('write_file', { path: 'a' })).toMatchObject(denied);
  const id = await groupOf(name, [requester]);
  expect(await scene.evaluate('write_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
  await without(id, requester);
  expect(await scene.evaluate('write_file', { path: 'a' })).toMatchObject(denied);
});

describe('votes that were given as a member', () => {
  it('do not count for a quorum, nor carry a grant, once their voter has left', async () => {
    const name = `approvers-${groups}`;
    await underGate(`group:${name}`, 2);
    const people = [await colleague('One'), await colleague('Two'), await colleague('Three')];
    const id = await groupOf(name, people);
    const stepUp = await scene.ask('write_file', { path: 'a' });
    await scene.decide(stepUp, people[0]!, 'approve');
    await without(id, people[0]!);
    expect(await scene.decide(stepUp, people[1]!, 'approve')).toMatchObject({ ok: true, value: { state: 'open' } });
    expect(await scene.decide(stepUp, people[2]!, 'approve')).toMatchObject({ ok: true, value: { state: 'approved' } });
    await without(id, people[2]!);
    expect(await scene.redeem('write_file', { path: 'a' })).toMatchObject(refused('grant_missing'));
  });

  it('a use that waited for the change of a group does not go by what it read before', async () => {
    const name = `approvers-${groups}`;
    await underGate(`group:${name}`);
    const member = await colleague('Member');
    const groupId = await groupOf(name, [member, await colleague('Other')]);
    const stepUp = await scene.ask('write_file', { path: 'a' });
    await scene.decide(stepUp, member, 'approve');
    let commit = () => {};
    const mayCommit = new Promise<void>((resolve) => {
      commit = resolve;
    });
    let isChanged = () => {};
    const changed = new Promise<void>((resolve) => {
      isChanged = resolve;
    });
    const changing = transact(store, async (tx, afterCommit) => {
      await changeMembers(store, tx, afterCommit, { groupId, added: [], removed: [member.person.id], by: BY });
      isChanged();
      await mayCommit;
    });
    await changed;
    const redeeming = scene.redeem('write_file', { path: 'a' });
    await untilBlocked();
    commit();
    await changing;
    expect(await redeeming).toMatchObject(refused('grant_missing'));
  });

  it(`${ROUNDS} times at the same moment: used before the voter left, or not at all`, async () => {
    const name = `approvers-${groups}`;
    await underGate(`group:${name}`);
    const stays = await colleague('Stays');
    const seen = { used: 0, refused: 0 };
    for (let round = 0; round < ROUNDS; round += 1) {
      await scene.startTask();
      const leaves = await colleague(`Leaves ${round}`);
      const id = round === 0 ? await groupOf(name, [stays, leaves]) : await currentGroup(name);
      await changeGroup(store, { id, by: BY }, (now) => ({
        ok: true,
        value: { ...now, memberIds: [...now.memberIds, leaves.person.id] },
      }));
      const stepUp = await scene.ask('write_file', { path: `${round}` });
      await scene.decide(stepUp, leaves, 'approve');
      const [used] = await Promise.all([scene.redeem('write_file', { path: `${round}` }), without(id, leaves)]);
      seen[used.ok ? 'used' : 'refused'] += 1;
      if (used.ok) expect(await eventOrder(stepUp, leaves)).toBe('used first');
      else expect(used).toMatchObject(refused('grant_missing'));
    }
    expect(seen.used + seen.refused).toBe(ROUNDS);
  });
});

async function currentGroup(name: string): Promise<string> {
  const row = await store.db
    .selectFrom('groups')
    .select('id')
    .where('display_name', '=', name)
    .executeTakeFirstOrThrow();
  return row.id;
}

async function eventOrder(stepUp: string, leaves: SignedIn): Promise<string> {
  const rows = await store.db
    .selectFrom('events')
    .select(['id', 'kind', 'body'])
    .where('kind', 'in', ['grant.redeemed', 'group.changed'])
    .orderBy('id')
    .execute();
  const used = rows.findIndex((row) => row.kind === 'grant.redeemed' && row.body.includes(stepUp));
  const left = rows.findIndex((row) => row.body.includes('"removed"') && row.body.includes(leaves.person.id));
  return used >= 0 && left > used ? 'used first' : 'left first';
}

async function untilBlocked(): Promise<void> {
  for (;;) {
    const { rows } = await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock'
      and datname = current_database()`.execute(database.db);
    if (rows.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
