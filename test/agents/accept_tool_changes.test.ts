import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acceptToolChanges, reportManifest } from '../../src/agents/report_manifest.ts';
import type { Store } from '../../src/store/store.ts';
import { manifestDigest, type RiskClass } from '../../src/wire/manifest.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario, TOOLS } from '../support/scenario.ts';
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

const [, WRITE] = TOOLS;

function accept(digest: string, risk: RiskClass) {
  return acceptToolChanges(store, {
    toolServerId: scene.server.id,
    by: scene.administrator.person.id,
    tools: ['write_file'],
    risks: { write_file: risk },
    digests: { write_file: digest },
  });
}

describe('a tool that was accepted', () => {
  it('keeps its class while nothing of it waits, whatever a form says', async () => {
    const lowered = await accept(manifestDigest(WRITE!.definition), 'read');
    expect(lowered).toMatchObject({ ok: false, refusal: { code: 'page_outdated' } });
    expect(await scene.evaluate('write_file', { path: 'a', content: 'b' })).toMatchObject({ decision: 'step_up' });
  });

  it('leaves in the audit who accepted which definition as which class, and the class before', async () => {
    const changed = { ...WRITE!.definition, description: 'Writes a file.' };
    await reportManifest(store, scene.server, [changed]);
    const digest = manifestDigest(changed);
    expect(await accept(digest, 'critical')).toMatchObject({ ok: true });
    const events = await scene.events('tool.accepted');
    expect(events.at(-1)?.ids).toMatchObject({
      tool_server: scene.server.id,
      tool: 'write_file',
      manifest_digest: digest,
      risk: 'critical',
      risk_before: 'write',
      person: scene.administrator.person.id,
    });
  });
});
