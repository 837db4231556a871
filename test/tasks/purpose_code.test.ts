import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
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

it('what a person picked at consent does', async () => {
  await database.db.updateTable('agents').set({ kind: 'interactive', person_id: scene.requester.person.id }).execute();
  expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
});
