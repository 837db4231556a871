import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { issueDecisionToken } from '../src/approvals/decision_token.ts';
import { viewStepUp } from '../src/approvals/view.ts';
import { withdrawStepUp } from '../src/approvals/withdraw.ts';
import type { JsonObject } from '../src/kernel/json.ts';
import type { SignedIn } from '../src/model/person.ts';
import type { Store } from '../src/store/store.ts';
import { disablePerson } from '../src/tasks/revoke/disable_person.ts';
import { startTask } from '../src/tasks/start.ts';
import { hiddenFields, type ServedConsole, serveConsole } from './console/served_console.ts';
import { createTestDatabase, type TestDatabase } from './support/database.ts';
import { Scenario } from './support/scenario.ts';
import { makeScratchDirectory } from './support/scratch.ts';
import { createTestStore } from './support/test_store.ts';

// The invariants of design.md §3, one after the other: what must hold whatever else changes. Other tests go deeper;
// `invariants_of_records.test.ts` has those about what is recorded, shown and kept.

const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };
const PERMIT_ALL = '@id("all")\npermit (principal, action, resource);\n';

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  if (scene !== undefined) await scene.freeNames();
  store = createTestStore(database);
  scene = await Scenario.create(store);
});

/** The scenario under other policies, Cedar text. */
async function underPolicies(cedar: string): Promise<Scenario> {
  await scene.freeNames();
  const folder = await makeScratchDirectory('policies');
  await writeFile(join(folder, 'test.cedar'), cedar);
  scene = await Scenario.create(store, folder);
  return scene;
}

const gate = (approvers: string) => `${PERMIT_ALL}
@id("asks") @stepup("Look.") @approvers("${approvers}")
forbid (principal, action == Action::"call", resource is Tool) unless { context.approvals.contains("gate") };`;

async function approved(args: JsonObject = WRITE): Promise<string> {
  const stepUp = await scene.ask('write_file', args);
  expect(await scene.decide(stepUp, scene.requester, 'approve')).toMatchObject({ ok: true });
  return stepUp;
}

const refused = (code: string) => ({ ok: false, refusal: { code } });
const denied = (code: string) => ({ decision: 'deny', refusal: { error: code } });
const personNamed = (id: string) => ({ personId: id });

async function sleepUntilBlocked(): Promise<void> {
  for (;;) {
    const { rows } = await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock'
      and datname = current_database()`.execute(database.db);
    if (rows.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('invariant 1: no gated call runs without a live grant for exactly what runs', () => {
  it('other arguments, another tool, another task and another deployment find no grant', async () => {
    await approved();
    expect(await scene.redeem('write_file', { ...WRITE, content: 'Buy milk.' })).toMatchObject(
      refused('grant_missing'),
    );
    expect(await scene.redeem('erase_disk', { disk: 'a' })).toMatchObject(refused('grant_missing'));
    const { claims, server } = scene;
    await scene.startTask();
    expect(await scene.redeem('write_file', WRITE)).toMatchObject(refused('grant_missing'));
    scene.claims = claims;
    scene.server = { ...server, deployment: '{"kind":"elsewhere"}' };
    expect(await scene.redeem('write_file', WRITE)).toMatchObject(refused('grant_missing'));
    scene.server = server;
    expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: true });
  });

  it('a grant that expired or was revoked is none, and the answer from the cache gives nothing', async () => {
    const first = await approved();
    await database.db.updateTable('grants').set({ expires_at: new Date() }).where('step_up_id', '=', first).execute();
    expect(await scene.redeem('write_file', WRITE)).toMatchObject(refused('grant_expired'));
    const second = await approved({ ...WRITE, path: 'b' });
    await database.db.updateTable('grants').set({ revoked_at: new Date() }).where('step_up_id', '=', second).execute();
    expect(await scene.redeem('write_file', { ...WRITE, path: 'b' })).toMatchObject(refused('grant_missing'));
  });
});

describe('invariant 2: a grant is used at most max_uses times, an attempt runs once', () => {
  it('20 attempts at once use it once; the repeated attempt is told not to run', async () => {
    await approved();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => scene.redeem('write_file', WRITE, `att_${at % 10}`)),
    );
    const runs = answers.filter((answer) => answer.ok && !answer.value.repeated);
    expect(runs).toHaveLength(1);
    for (const answer of answers) if (!answer.ok) expect(answer.refusal.code).toBe('grant_used');
    const { uses } = await database.db
      .selectFrom('redemptions')
      .select((rows) => rows.fn.countAll<number>().as('uses'))
      .where('binding_digest', '=', await bindingOf(runs))
      .executeTakeFirstOrThrow();
    expect(uses).toBe(1);
  });

  async function bindingOf(runs: Awaited<ReturnType<Scenario['redeem']>>[]): Promise<string> {
    const run = runs[0]!;
    if (!run.ok) throw new Error(run.refusal.message);
    const row = await database.db
      .selectFrom('grants')
      .select('binding_digest')
      .where('step_up_id', '=', run.value.step_up_id)
      .executeTakeFirstOrThrow();
    return row.binding_digest;
  }
});

describe('invariant 3: what was acknowledged stays: a denial, a decision, a revocation', () => {
  it('a denied or withdrawn request cannot be approved, an approved one not be denied', async () => {
    const one = await scene.ask('write_file', WRITE);
    await scene.decide(one, scene.requester, 'deny');
    const two = await scene.ask('write_file', { ...WRITE, path: 'b' });
    await withdrawStepUp(store, { stepUpId: two, toolServerId: scene.server.id, reason: 'x' });
    for (const stepUp of [one, two]) {
      expect(await scene.decide(stepUp, scene.requester, 'approve')).toMatchObject(refused('already_decided'));
    }
    const three = await approved({ ...WRITE, path: 'c' });
    expect(await scene.decide(three, scene.requester, 'deny')).toMatchObject(refused('already_decided'));
    expect(await withdrawStepUp(store, { stepUpId: three, toolServerId: scene.server.id, reason: 'x' })).toBe(false);
    expect(await scene.redeem('write_file', WRITE)).toMatchObject(refused('grant_missing'));
    expect(await scene.redeem('write_file', { ...WRITE, path: 'c' })).toMatchObject({ ok: true });
  });

  it('a use that began before the task was ended, and comes to it after, is refused', async () => {
    await approved();
    const mayCommit = Promise.withResolvers<void>();
    const ending = database.db.transaction().execute(async (tx) => {
      await tx.updateTable('tasks').set({ state: 'cancelled' }).where('id', '=', scene.claims.task.id).execute();
      await mayCommit.promise;
    });
    const using = scene.redeem('write_file', WRITE);
    await Promise.race([sleepUntilBlocked(), using]);
    mayCommit.resolve();
    await ending;
    expect(await using).toMatchObject(refused('task_ended'));
  });
});

describe('invariant 4: unknown means deny', () => {
  it('a policy that fails on these arguments denies', async () => {
    await underPolicies(`${PERMIT_ALL}
@id("fails")
forbid (principal, action == Action::"call", resource is Tool) when { context.task.depth - 9223372036854775807 - 2 > 0 };`);
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'deny' });
  });

  it('a gate that nobody can open denies instead of asking', async () => {
    await underPolicies(gate('person:prs_nobody'));
    expect(await scene.evaluate('write_file', WRITE)).toMatchObject(denied('no_eligible_approver'));
  });

  it('a store out of reach permits nothing and redeems nothing', async () => {
    const other = await createTestDatabase();
    const cut = await Scenario.create(createTestStore(other));
    await other.drop();
    await expect(cut.evaluate('read_file', { path: 'a' })).rejects.toThrow();
    await expect(cut.redeem('write_file', WRITE)).rejects.toThrow();
  });

  it('a page that showed something else, or was somebody else’s, decides nothing', async () => {
    const shown = await scene.ask('write_file', WRITE);
    const other = await scene.ask('write_file', { ...WRITE, content: 'All of it.' });
    const tokenOf = async (stepUp: string, as: SignedIn) => {
      const view = await viewStepUp(store, { stepUpId: stepUp, personId: as.person.id });
      if (!view.ok) throw new Error(view.refusal.message);
      return issueDecisionToken(store, { sessionIdHash: as.sessionIdHash, view: view.value });
    };
    const tokens = [await tokenOf(shown, scene.requester), await tokenOf(other, scene.administrator), '', 'x.y'];
    for (const token of tokens) {
      expect(await scene.decide(other, scene.requester, 'approve', { token })).toMatchObject(refused('page_outdated'));
    }
  });
});

describe('invariant 5: delegation only narrows', () => {
  it('no tool outside the task runs, whatever the policy permits', async () => {
    await underPolicies(PERMIT_ALL);
    await scene.startTask(['read_file']);
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
    expect(await scene.evaluate('write_file', WRITE)).toMatchObject(denied('tool_not_in_task'));
  });

  it('no task exceeds the bound of its agent or the longest time', async () => {
    const { db } = database;
    const agentId = scene.claims.act!.sub;
    const bound = JSON.stringify({ [scene.server.id]: ['read_file'] });
    await db.updateTable('agents').set({ bound }).where('id', '=', agentId).execute();
    const start = (tools: string[], seconds = 600) =>
      startTask(store, {
        ...{ requesterId: scene.requester.person.id, agentId, clientId: agentId, purpose: 'x', purposeCode: '' },
        ...{ tools: { [scene.server.id]: tools }, seconds, oauthGrantId: null },
      });
    expect(await start(['read_file', 'write_file'])).toMatchObject(refused('not_allowed'));
    expect(await start(['read_file'], store.rules.taskSecondsMax + 1)).toMatchObject(refused('request_invalid'));
    expect(await start(['read_file'])).toMatchObject({ ok: true });
  });

  it('a revoked delegation ends calls and unused grants below it', async () => {
    await approved();
    await database.db
      .updateTable('delegations')
      .set({ revoked_at: new Date() })
      .where('task_id', '=', scene.claims.task.id)
      .execute();
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject(denied('task_ended'));
    expect(await scene.redeem('write_file', WRITE)).toMatchObject(refused('task_ended'));
  });
});

describe('invariant 6: nobody decides about a chain they act in', () => {
  it('neither the requester nor the owner of the agent, though they are administrators', async () => {
    await underPolicies(gate('administrators'));
    const { db } = database;
    const requester = scene.requester.person.id;
    await db.updateTable('people').set({ is_administrator: true }).where('id', '=', requester).execute();
    const owner = await scene.addPerson('Owner', true);
    await db.updateTable('agents').set({ owner_id: owner.person.id }).where('id', '=', scene.claims.act!.sub).execute();
    const stepUp = await scene.ask('write_file', WRITE);
    for (const person of [scene.requester, owner]) {
      expect(await scene.decide(stepUp, person, 'approve')).toMatchObject(refused('not_an_approver'));
    }
    expect(await scene.decide(stepUp, scene.administrator, 'approve')).toMatchObject({ ok: true });
  });

  it('the requester may only where the policy says so', async () => {
    await underPolicies(gate('requester'));
    const stepUp = await scene.ask('write_file', WRITE);
    expect(await scene.decide(stepUp, scene.administrator, 'approve')).toMatchObject({ ok: false });
    expect(await scene.decide(stepUp, scene.requester, 'approve')).toMatchObject({ ok: true });
  });
});

describe('invariant 7: a decision needs an authenticated, currently eligible person at the click', () => {
  it('who was disabled or lost the right after the page was shown decides nothing, and a vote cast before is void', async () => {
    await underPolicies(gate('administrators'));
    const [disabled, demoted] = [await scene.addPerson('Eve', true), await scene.addPerson('Mallory', true)];
    const stepUp = await scene.ask('write_file', WRITE);
    await disablePerson(store, {
      ...personNamed(disabled.person.id),
      by: { kind: 'person', id: scene.administrator.person.id },
      reason: '',
    });
    await database.db
      .updateTable('people')
      .set({ is_administrator: false })
      .where('id', '=', demoted.person.id)
      .execute();
    for (const person of [disabled, demoted]) {
      expect(await scene.decide(stepUp, person, 'approve')).toMatchObject({ ok: false });
    }
    const voter = await scene.addPerson('Voter', true);
    expect(await scene.decide(stepUp, voter, 'approve')).toMatchObject({ ok: true });
    await disablePerson(store, {
      ...personNamed(voter.person.id),
      by: { kind: 'person', id: scene.administrator.person.id },
      reason: '',
    });
    expect(await scene.redeem('write_file', WRITE)).toMatchObject(refused('grant_missing'));
  });

  it('one’s own agent needs a passkey with user verification, not only a session', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    for (const confirmation of [null, { amr: ['hwk'] }]) {
      const decided = await scene.decide(stepUp, scene.requester, 'approve', { confirmation });
      expect(decided).toMatchObject(refused('passkey_required'));
    }
  });

  it('no credential of a machine decides', async () => {
    await inConsole(async (site) => {
      const { scenario } = site;
      const cookie = await site.signIn(scenario.administrator);
      const stepUp = await scenario.ask('write_file', WRITE);
      const page = await (await site.get(`/step-ups/${stepUp}`, cookie)).text();
      const fields = hiddenFields(page, 'approve');
      const path = `/step-ups/${stepUp}/decision`;
      for (const authorization of ['Bearer token', 'DPoP token', `Bearer ${cookie.split('=')[1]}`]) {
        const answer = await site.post(path, '', fields, { origin: site.origin, authorization });
        expect(answer.status).toBeGreaterThanOrEqual(400);
      }
      expect((await site.post(path, cookie, fields)).status).toBeLessThan(400);
    });
  });
});

async function inConsole(work: (site: ServedConsole) => Promise<void>): Promise<void> {
  const site = await serveConsole();
  await work(site).finally(() => site.close());
}
