import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import type { Store } from '../../src/store/store.ts';
import { startSubTask } from '../../src/tasks/sub_task.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { createTestStore } from '../support/test_store.ts';

const BILLING_ONLY = `
@id("billing-only")
permit (principal is Agent, action == Action::"call", resource is Tool)
when { context.task.purpose_code == "billing" };
`;

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  const policies = await makeScratchDirectory('policies');
  await writeFile(join(policies, 'billing.cedar'), BILLING_ONLY);
  scene = await Scenario.create(store, policies);
  await database.db.updateTable('tasks').set({ purpose_code: 'billing' }).execute();
});
afterAll(() => database.drop());

it('what a service agent says its work is for decides nothing (invariant 9)', async () => {
  expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({
    decision: 'deny',
    refusal: { error: 'policy_denied' },
  });
});

it('nor does what a client in a person’s hands says by itself, where no person was asked', async () => {
  await database.db.updateTable('agents').set({ kind: 'interactive', person_id: scene.requester.person.id }).execute();
  expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'deny' });
});

it('what a person picked at consent does, and in what is begun below that task', async () => {
  await database.db.updateTable('tasks').set({ oauth_grant_id: 'grant' }).execute();
  expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
  expect(await evaluateBelow()).toMatchObject({ decision: 'permit' });
});

it('what was approved with a template does, and in what is begun below such a task', async () => {
  await scene.startTask();
  const { requester_id, agent_id } = await database.db
    .selectFrom('tasks')
    .selectAll()
    .where('id', '=', scene.claims.task.id)
    .executeTakeFirstOrThrow();
  const template = { id: newId('tpl'), name: 'billing', agent_id, requester_id, purpose: 'Bills', seconds: 60 };
  const rest = { purpose_code: 'billing', tools: '{}', state: 'active' as const, budget: null };
  const approval = { proposed_by: null, approved_by: null, approved_at: null, ends_at: null };
  await database.db
    .insertInto('task_templates')
    .values({ ...template, ...rest, ...approval })
    .execute();
  const changes = { purpose_code: 'billing', template_id: template.id };
  await database.db.updateTable('tasks').set(changes).where('id', '=', scene.claims.task.id).execute();
  expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
  expect(await evaluateBelow()).toMatchObject({ decision: 'permit' });
});

async function evaluateBelow() {
  const started = await startSubTask(store, {
    agentId: scene.claims.act!.sub,
    parentTaskId: scene.claims.task.id,
    purpose: 'A part',
    tools: { [scene.server.id]: ['read_file'] },
    budget: [],
  });
  if (!started.ok) throw new Error(started.refusal.message);
  scene.claims = { ...scene.claims, task: { ...scene.claims.task, id: started.value.taskId } };
  return scene.evaluate('read_file', { path: 'a' });
}
