import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PeerDirection } from '../../../src/agents/peers.ts';
import type { FollowedEvent } from '../../../src/events/follow.ts';
import { revocationsOf } from '../../../src/events/revocations.ts';
import type { Acting } from '../../../src/model/acting.ts';
import { removePeer } from '../../../src/tasks/revoke/remove_peer.ts';
import { startSubTask } from '../../../src/tasks/sub_task.ts';
import type { AccessTokenClaims } from '../../../src/wire/claims.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { addPeer, approvePeers, type Peer } from '../../support/hops.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';
import { Delegating } from '../delegating.ts';

const AT_ONCE = 24;
/** Within what one task may have alive. */
const WAVES_MAX = 8;
/** PostgreSQL counts deadlocks a moment later. */
const COUNTED_MS = 1_500;
const WRITE = { path: 'a', content: 'x' };

let database: TestDatabase;
let scene: Scenario;
let delegating: Delegating;
let by: Acting;
/** Each may hand work to the next; the first has the task of the scenario. */
let giver: Peer;
let taker: Peer;
let third: Peer;
let root: string;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await scene?.freeNames();
  scene = await Scenario.create(createTestStore(database));
  delegating = new Delegating(scene.store, scene.book);
  by = { kind: 'person', id: scene.administrator.person.id };
  const id = scene.claims.act!.sub;
  giver = { id, clientId: id, ownerId: scene.requester.person.id, key: undefined as never };
  await database.db.updateTable('agents').set({ delegation_depth_max: 4 }).where('id', '=', id).execute();
  [taker, third] = [await addPeer(scene.store, 3), await addPeer(scene.store, 2)];
  await approvePeers(scene.store, giver, taker);
  await approvePeers(scene.store, taker, third);
  const begins = database.db.selectFrom('delegations').select('id').where('task_id', '=', scene.claims.task.id);
  root = (await begins.executeTakeFirstOrThrow()).id;
});

/** Different seconds make different delegations. */
const handOn = (from: string, to: Peer, seconds = 600) =>
  delegating.handOn({ from, takerId: to.id, resources: [{ resource: scene.server.resource }], seconds });

async function handed(from: string, to: Peer, seconds?: number): Promise<string> {
  const made = await handOn(from, to, seconds);
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.delegationId;
}

async function actAt(delegationId: string): Promise<void> {
  scene.claims = await delegating.claimsAt(delegationId, scene.server.resource);
}

const END: Record<PeerDirection, () => ReturnType<typeof removePeer>> = {
  to: () => removePeer(scene.store, { agentId: giver.id, direction: 'to', peerId: taker.id, by }),
  from: () => removePeer(scene.store, { agentId: taker.id, direction: 'from', peerId: giver.id, by }),
};

/** Everything alive that work came to from the giver by the taker. */
async function leftOfPair(): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select d.id from delegations d join tasks t on t.id = d.task_id
    where d.agent_chain @> array[${giver.id}, ${taker.id}]::text[] and d.revoked_at is null and t.state = 'active'`.execute(
    database.db,
  );
  return rows.map(({ id }) => id);
}

async function toldToGuards(kind: 'delegation.revoked' | 'task.ended'): Promise<string[]> {
  const events = await scene.events(kind);
  return events.flatMap(({ ids }) =>
    revocationsOf({ kind, ids, at: new Date(), position: 0 } as unknown as FollowedEvent).map(({ id }) => id),
  );
}

describe.each(['to', 'from'] as const)('taking back the end "%s" of an approval', (direction) => {
  test('ends what was handed on, with everything below it, and nothing else', async () => {
    const hop = await handed(root, taker);
    const own = await handed(root, giver, 300);
    const throughOwn = await handed(own, taker, 200);
    const below = await handed(hop, third);
    const again = await handed(below, third, 100);
    const begun = await startSubTask(scene.store, {
      agentId: taker.id,
      parentTaskId: scene.claims.task.id,
      delegationId: hop,
      purpose: 'A part of it',
      tools: { [scene.server.id]: ['read_file'] },
      budget: [],
    });
    if (!begun.ok) throw new Error(begun.refusal.message);
    // The same two agents the other way round, and the taker without the giver.
    await approvePeers(scene.store, taker, giver);
    const theirs = await delegating.start(taker, scene.requester.person.id, { [scene.server.id]: ['read_file'] });
    const back = await handed(theirs, giver);
    const apart = await handed(theirs, third);

    const ended = await END[direction]();
    expect(ended).toMatchObject({ ok: true, value: { tasks: 1, delegations: 4 } });
    expect(await leftOfPair()).toEqual([back]);
    for (const id of [root, own, theirs, back, apart]) expect(await delegating.isLive(id)).toBe(true);
    for (const id of [hop, throughOwn, below, again]) expect(await delegating.isLive(id)).toBe(false);
    // Their tokens name both agents, who go on: only by its own id does a guard refuse what was revoked.
    expect(await toldToGuards('delegation.revoked')).toEqual(expect.arrayContaining([hop, throughOwn, below, again]));
    expect(await toldToGuards('task.ended')).toContain(begun.value.taskId);
    expect(await handOn(root, taker)).toMatchObject({ ok: false, refusal: { reason: 'peer_not_approved' } });
    expect(await END[direction]()).toMatchObject({ ok: false, refusal: { code: 'not_found' } });
  });

  test('refuses the calls of the hop from then on, asked for, approved or free', async () => {
    const hop = await handed(root, taker);
    await actAt(await handed(hop, third));
    await scene.decide(await scene.ask('write_file', WRITE), scene.requester, 'approve');
    const waiting = await scene.ask('write_file', { ...WRITE, path: 'b' });
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
    expect(await END[direction]()).toMatchObject({ ok: true, value: { step_ups: 1, grants: 1 } });
    const ended = { ok: false, refusal: { code: 'task_ended' } };
    expect(await scene.redeem('write_file', WRITE)).toMatchObject(ended);
    expect(await scene.decide(waiting, scene.requester, 'approve')).toMatchObject({ ok: false });
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({
      decision: 'deny',
      refusal: { error: 'task_ended' },
    });
    await actAt(root);
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
  });

  test('leaves nothing alive of what many hand on at the same time, between the two and below them', async () => {
    const above = await delegating.claimsAt(root, scene.server.resource);
    const below = await delegating.claimsAt(await handed(root, taker), scene.server.resource);
    const resources = [{ resource: scene.server.resource }];
    const wave = (turn: number) =>
      Array.from({ length: AT_ONCE }, (_, index) => {
        const [subject, takerId] = [
          [above, taker.id],
          [below, third.id],
          [below, taker.id],
        ][index % 3] as [AccessTokenClaims, string];
        return delegating.handOnBy(subject, { takerId, resources, seconds: 100 + turn * AT_ONCE + index });
      });
    const answers = await Promise.all(wave(0));
    expect(answers.filter(({ ok }) => !ok)).toEqual([]);
    let isRemoved = false;
    const underWay = wave(1);
    const removing = END[direction]().then((answer) => {
      isRemoved = true;
      return answer;
    });
    // Those who share a lock let each other in: it is taken between two waves, or late in one.
    for (let turn = 2; turn < WAVES_MAX && !isRemoved; turn += 1) await Promise.all(wave(turn));
    expect(await removing).toMatchObject({ ok: true });
    await Promise.all(underWay);
    const late = await Promise.all(wave(WAVES_MAX));
    expect(late.filter(({ ok }) => ok)).toEqual([]);
    expect(await leftOfPair()).toEqual([]);
  });
});

test('a person without a part in the agent ends nothing', async () => {
  const hop = await handed(root, taker);
  const stranger = { kind: 'person', id: (await scene.addPerson('Sam', false)).person.id } as const;
  const input = { agentId: giver.id, direction: 'to', peerId: taker.id, by: stranger } as const;
  expect(await removePeer(scene.store, input)).toMatchObject({ ok: false, refusal: { code: 'not_found' } });
  expect(await delegating.isLive(hop)).toBe(true);
});

test('nobody ever waited for each other in a circle', async () => {
  await sleep(COUNTED_MS);
  const { rows } = await sql<{ deadlocks: number }>`select deadlocks::int from pg_stat_database
    where datname = current_database()`.execute(database.db);
  expect(rows).toEqual([{ deadlocks: 0 }]);
});
