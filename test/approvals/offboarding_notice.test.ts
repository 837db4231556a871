import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { createWebhookChannel } from '../../src/approvals/channels/webhook/outbound.ts';
import { parseSecret } from '../../src/approvals/channels/webhook/signature.ts';
import { startDelivery } from '../../src/approvals/deliver.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import type { MessageTopic } from '../../src/model/rules.ts';
import type { Store } from '../../src/store/store.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { disablePerson } from '../../src/tasks/revoke/disable_person.ts';
import { enablePerson } from '../../src/tasks/revoke/enable_person.ts';
import { offboardAgent } from '../../src/tasks/revoke/offboard_agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { Chains } from '../tasks/revoke/chains.ts';
import { Receiver, SECRET } from './channels/webhook/receiver.ts';

const by = { kind: 'server', id: 'server' } as const;

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let chains: Chains;
let receiver: Receiver;
let stop: () => Promise<void>;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  receiver = await Receiver.open();
  scene = await Scenario.create(createTestStore(database));
  await tellOf(['offboarding', 'tasks']);
});
afterEach(async () => {
  await stop();
  await receiver.close();
  await scene.freeNames();
  await database.db.deleteFrom('outbox').execute();
});

async function tellOf(toldOf: readonly MessageTopic[]): Promise<void> {
  await stop?.();
  store = createTestStore(database, { rules: { channels: ['webhook'], toldOf } });
  chains = new Chains(store, scene);
  const fetch = createSafeFetch({ allowedHosts: [receiver.host], timeoutMs: 10_000 });
  const settings = { url: new URL(receiver.url), keys: [parseSecret(SECRET)!] };
  const delivery = startDelivery(store, [createWebhookChannel(settings, fetch)], { pollMs: 40 });
  stop = () => delivery.stop();
}

const untilSent = () =>
  vi.waitFor(
    async () => {
      const waiting = database.db.selectFrom('outbox').select('id').where('state', '=', 'waiting');
      expect(await waiting.execute()).toEqual([]);
    },
    { timeout: 20_000, interval: 25 },
  );

it('an agent that is offboarded is told of, and every task that ends with it', async () => {
  const root = await chains.start(await chains.addAgent());
  const hop = (await chains.hand(root, await chains.addAgent()))!;
  const sub = (await chains.begin(hop))!;
  await offboardAgent(store, { agentId: root.agentId, by, reason: 'Not to be told.' });
  await untilSent();
  const told = (type: string) => receiver.received.filter((one) => one.type === type).map(({ data }) => data);
  expect(told('agent.offboarded')).toEqual([
    { agent_id: root.agentId, name: 'One of many', client_id: root.agentId, owner_id: scene.requester.person.id },
  ]);
  expect(new Set(told('task.ended').map((data) => data.task_id))).toEqual(new Set([root.taskId, sub.taskId]));
  expect(told('task.ended')[0]).toMatchObject({ root_id: root.taskId, how: 'cancelled' });
  expect(JSON.stringify(receiver.received)).not.toContain('Not to be told');
});

it('a person is told of each time, by another id', async () => {
  const leaving = await scene.addPerson('Leaving', false);
  const { id: personId } = leaving.person;
  await disablePerson(store, { personId, by, reason: '' });
  await untilSent();
  await enablePerson(store, { personId, by, reason: '' });
  await disablePerson(store, { personId, by, reason: '', isDeleted: true });
  await untilSent();
  expect(receiver.received.map(({ data }) => data)).toEqual([
    { person_id: personId, name: 'Leaving', deleted: false },
    { person_id: personId, name: 'Leaving', deleted: true },
  ]);
  expect(new Set(receiver.ids('person.offboarded')).size).toBe(2);
});

it('what nobody wants to hear of is not written down', async () => {
  await tellOf(['offboarding']);
  const place = await chains.start(await chains.addAgent());
  await endTask(store, { taskId: place.taskId, how: 'completed', by: { agentId: place.agentId } });
  expect(await database.db.selectFrom('outbox').selectAll().execute()).toEqual([]);
  await offboardAgent(store, { agentId: place.agentId, by, reason: '' });
  await untilSent();
  expect(receiver.received.map(({ type }) => type)).toEqual(['agent.offboarded']);
});
