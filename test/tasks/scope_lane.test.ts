import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { liveStepUpForScope, recordScopeLane, reserveScopeChallenge } from '../../src/approvals/scope_lane.ts';
import type { Store } from '../../src/store/store.ts';
import { stepUpScope } from '../../src/wire/scopes.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let store: Store;
let scene: Scenario;
const write = (content: string) => ({ path: 'a.md', content });

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());

describe('the step-up a scope names', () => {
  const find = (scope: string, clientId = scene.claims.client_id, personId = scene.requester.person.id) =>
    liveStepUpForScope(store, { scope: `mcp:tools ${scope}`, clientId, personId });

  it('is found while it is open, and while its grant is unused', async () => {
    const id = await scene.ask('write_file', write('open'));
    expect(await find(stepUpScope(id))).toMatchObject({ stepUpId: id, state: 'open' });
    await scene.decide(id, scene.requester, 'approve');
    expect(await find(stepUpScope(id))).toMatchObject({ stepUpId: id, state: 'approved' });
    await scene.redeem('write_file', write('open'));
    expect(await find(stepUpScope(id))).toBeNull();
  });

  it('is ignored for another client or another person, and when it is unknown', async () => {
    const id = await scene.ask('write_file', write('foreign'));
    expect(await find(stepUpScope(id), 'agt_other')).toBeNull();
    expect(await find(stepUpScope(id), undefined, scene.administrator.person.id)).toBeNull();
    expect(await find(stepUpScope('stp_unknown'))).toBeNull();
  });

  it("is not hidden by somebody else's approved one, which is not found either", async () => {
    const theirs = await scene.ask('write_file', write('theirs'));
    await scene.decide(theirs, scene.requester, 'approve');
    await scene.startTask();
    const mine = await scene.ask('write_file', write('mine'));
    expect(await find(stepUpScope(mine))).toMatchObject({ stepUpId: mine });
    expect(await find(stepUpScope(theirs))).toBeNull();
  });
});

describe('a scope challenge', () => {
  const personId = 'prs_x';

  it('is open once at a time per client and person, and again after the trip', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        reserveScopeChallenge(store, { clientId: 'c1', personId, stepUpId: `stp_${index}` }),
      ),
    );
    expect(answers.filter(Boolean)).toHaveLength(1);
    await recordScopeLane(store, 'c1', 'works', personId);
    expect(await reserveScopeChallenge(store, { clientId: 'c1', personId, stepUpId: 'stp_next' })).toBe(true);
  });

  it('works for a client whose id is a long address', async () => {
    const clientId = `https://client.example/${'a'.repeat(1_000)}`;
    const input = { clientId, personId, stepUpId: 'stp_long' };
    expect(await reserveScopeChallenge(store, input)).toBe(true);
    expect(await reserveScopeChallenge(store, { ...input, stepUpId: 'stp_second' })).toBe(false);
    await recordScopeLane(store, clientId, 'works', personId);
    expect(await reserveScopeChallenge(store, input)).toBe(true);
  });

  it('is not tried again with a client that called again without making the trip', async () => {
    const input = { clientId: 'c2', personId, stepUpId: 'stp_a' };
    expect(await reserveScopeChallenge(store, input)).toBe(true);
    expect(await reserveScopeChallenge(store, input)).toBe(false);
    expect(await reserveScopeChallenge(store, { ...input, stepUpId: 'stp_b' })).toBe(false);
    // Ids of metadata documents are shared by all installations of a client: one person's says nothing of another's.
    expect(await reserveScopeChallenge(store, { ...input, personId: 'prs_y', stepUpId: 'stp_c' })).toBe(true);
  });
});
