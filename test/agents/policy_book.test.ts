import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHANNELS } from '../../src/store/wake.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  const folder = await makeScratchDirectory('policies');
  const cedar = `@id("all") permit (principal, action, resource);
@id("no-secrets") @reason("Secrets stay closed.") forbid (principal, action == Action::"call", resource == Tool::"files/read_file")
when { context.input has path && context.input.path == "secret" };`;
  await writeFile(join(folder, 'test.cedar'), cedar);
  scene = await Scenario.create(createTestStore(database), folder);
});
afterAll(() => database.drop());

const compiled = () => scene.book.compiledFor(scene.store, scene.server);
const setTool = (changes: { risk: 'read' | 'critical' }) =>
  database.db.updateTable('tools').set(changes).where('name', '=', 'read_file').execute();
async function wake(): Promise<void> {
  await scene.store.ephemeral.publish(CHANNELS.toolServer(scene.server.id), 'tools');
  await new Promise((resolve) => setImmediate(resolve));
}

test('a policy is compiled once for the tools of a server, and again when they changed', async () => {
  const first = await compiled();
  expect(await compiled()).toBe(first);
  await wake();
  const unchanged = await compiled();
  expect(unchanged.ok && first.ok && unchanged.value.compiled === first.value.compiled).toBe(true);
  await setTool({ risk: 'critical' });
  await wake();
  const changed = await compiled();
  expect(changed.ok && changed.value.pins.get('read_file')?.risk).toBe('critical');
  expect(changed).not.toBe(first);
});

test('a forbid that an accepted tool would blind denies every call there, instead of letting them through', async () => {
  const definition = { name: 'count', inputSchema: { type: 'object', properties: { path: { type: 'integer' } } } };
  const row = {
    tool_server_id: scene.server.id,
    name: 'count',
    state: 'accepted' as const,
    digest: 'x',
    risk: 'read' as const,
  };
  const secret = () => scene.evaluate('read_file', { path: 'secret' });
  expect(await secret()).toMatchObject({ decision: 'deny', refusal: { error_description: 'Secrets stay closed.' } });
  await database.db
    .insertInto('tools')
    .values({
      ...row,
      definition: JSON.stringify(definition),
      proposed_definition: null,
      proposed_digest: null,
      proposed_risk: null,
    })
    .execute();
  await wake();
  expect(await secret()).toMatchObject({ decision: 'deny', refusal: { error: 'policy_unavailable' } });
  const answer = await scene.evaluate('read_file', { path: 'a' });
  expect(answer).toMatchObject({ decision: 'deny', refusal: { error: 'policy_unavailable' } });
  await database.db.deleteFrom('tools').where('name', '=', 'count').execute();
  await wake();
  expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
});

test('a tool that is not accepted has no pin, so nobody can call it', async () => {
  await database.db.updateTable('tools').set({ state: 'proposed' }).where('name', '=', 'write_file').execute();
  await wake();
  const answer = await scene.evaluate('write_file', { path: 'a', content: 'b' });
  expect(answer).toMatchObject({ decision: 'deny', refusal: { error: 'tool_unknown' } });
});
