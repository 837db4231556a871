import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { listTasks } from '../../src/tasks/find.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { RUNNING_TASKS_PER_AGENT_MAX } from '../../src/tasks/limits.ts';
import { startTask } from '../../src/tasks/start.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());

function start() {
  return startTask(store, {
    requesterId: scene.requester.person.id,
    agentId: scene.claims.client_id,
    clientId: scene.claims.client_id,
    purpose: 'Tidy up',
    purposeCode: '',
    tools: { [scene.server.id]: ['read_file'] },
    seconds: 600,
    oauthGrantId: null,
  });
}

it('an agent runs a bounded number of tasks, also when it starts them at once', async () => {
  const started = [];
  for (let round = 0; round < 6; round += 1) {
    started.push(...(await Promise.all(Array.from({ length: 18 }, start))));
  }
  // One runs since the scenario began.
  expect(started.filter((one) => one.ok)).toHaveLength(RUNNING_TASKS_PER_AGENT_MAX - 1);
  expect(started.find((one) => !one.ok)).toMatchObject({ refusal: { code: 'rate_limited' } });
});

it('a running task is never hidden behind those that were started after it and ended', async () => {
  const by = { agentId: scene.claims.client_id };
  const running = scene.claims.task.id;
  for (const task of await listTasks(store, { personId: scene.requester.person.id })) {
    if (task.id !== running) await endTask(store, { taskId: task.id, how: 'completed', by });
  }
  const listed = await listTasks(store, { personId: scene.requester.person.id });
  expect(listed[0]?.id).toBe(running);
  expect(listed.length).toBeGreaterThan(1);
});
