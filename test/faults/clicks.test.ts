import { connect, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Page, ScriptedPerson, textOf } from '../../examples/demo/scripted_person.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { parseConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { type RunningServer, startServer } from '../../src/server/start.ts';
import { openDatabase } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import { Receiver } from '../approvals/channels/webhook/receiver.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { createTestStore } from '../support/test_store.ts';
import { until } from './installation.ts';
import { nodeConfig, policyFolder } from './node_config.ts';

// F13: many people click at once, some approve and some deny, on pages that different servers serve. The first to commit
// decides; everybody else is told who did.

const CLICKS = 50;
const PEOPLE = 5;
const ROUNDS = 4;
const RULES = { channels: ['webhook'], stepUpsPerAgentPerMinute: 1_000, openStepUpsPerAgent: 1_000 };

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 12 });
}, 60_000);
afterAll(() => database?.drop());

async function recordOf(stepUpId: string) {
  const { db } = database;
  const { state } = await db
    .selectFrom('step_ups')
    .select('state')
    .where('id', '=', stepUpId)
    .executeTakeFirstOrThrow();
  const decisions = await db.selectFrom('decisions').selectAll().where('step_up_id', '=', stepUpId).execute();
  const grants = await db.selectFrom('grants').select('id').where('step_up_id', '=', stepUpId).execute();
  const events = await db.selectFrom('events').select(['kind', 'body']).execute();
  const logged = events.filter((event) => event.body.includes(stepUpId)).map((event) => event.kind);
  const count = (kind: string) => logged.filter((one) => one === kind).length;
  return {
    state,
    decisions,
    grants: grants.length,
    logged: { decisions: count('decision.made'), ends: count(`step_up.${state}`), grants: count('grant.made') },
  };
}

describe('by real HTTP, over two servers', () => {
  let receiver: Receiver;
  let balancer: Server;
  let scene: Scenario;
  let names: string[];
  const servers: RunningServer[] = [];
  const sessions: ScriptedPerson[] = [];
  const connections: number[] = [0, 0];

  beforeAll(async () => {
    receiver = await Receiver.open();
    const port = await freePort();
    const issuer = `http://localhost:${port}`;
    const { text } = await nodeConfig({ issuer, database, receiver });
    const config = parseConfig({ text });
    if (!config.ok) throw new Error(JSON.stringify(config.refusal));
    for (let node = 0; node < 2; node += 1)
      servers.push(await startServer({ config: config.value, log: silentLogger }));
    balancer = createServer((client) => {
      const node = connections[0]! <= connections[1]! ? 0 : 1;
      connections[node]! += 1;
      const server = connect(servers[node]!.port, '127.0.0.1');
      for (const [one, other] of [[client, server] as const, [server, client] as const]) {
        one.on('error', () => other.destroy()).pipe(other);
      }
    });
    await new Promise<void>((resolve) => balancer.listen(port, '127.0.0.1', resolve));
    scene = await Scenario.create(createTestStore(database, { issuer, rules: RULES }), config.value.policies);
    names = Array.from({ length: PEOPLE }, (_, index) => `Person ${index}`);
    const people: SignedIn[] = [];
    for (const name of names) people.push(await scene.addPerson(name, true));
    for (let click = 0; click < CLICKS; click += 1) sessions.push(await signIn(issuer, people[click % PEOPLE]!));
  }, 120_000);
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    balancer?.close();
    await receiver?.close();
    await scene?.freeNames();
  }, 60_000);

  async function signIn(issuer: string, { person }: SignedIn): Promise<ScriptedPerson> {
    const link = { kind: 'sign_in', personId: person.id, isAdministrator: false, createdBy: null } as const;
    const { token } = await makeLink(scene.store, { ...link, ttlSeconds: 600 });
    const session = new ScriptedPerson(issuer);
    await session.submit(await session.open(`/link/${token}`), { action: /\/link\// });
    return session;
  }

  test(`${CLICKS} clicks of ${PEOPLE} people, approve against deny: one decides, and the others read who`, async () => {
    const outcomes: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const stepUpId = await scene.ask('write_file', { path: `round ${round}`, content: 'x' });
      const pages = await Promise.all(sessions.map((session) => session.open(`/step-ups/${stepUpId}`)));
      const clicks = pages.map((page, index) => ({
        page,
        index,
        decision: (index + round) % 2 === 0 ? 'approve' : 'deny',
      }));
      const answers = await Promise.all(
        clicks.map(async ({ page, index, decision }) => {
          const form = { action: /\/decision$/, having: { decision } };
          const answer = await sessions[index]!.submit(page, form);
          return { index, decision, answer };
        }),
      );
      const record = await recordOf(stepUpId);
      outcomes.push(record.state);
      check(record, answers);
    }
    expect(
      connections.every((count) => count >= CLICKS / 4),
      `connections: ${connections}`,
    ).toBe(true);
    await until('nothing is left to be told', async () => {
      const { db } = database;
      const waiting = await db.selectFrom('outbox').select('id').where('state', '=', 'waiting').executeTakeFirst();
      return waiting === undefined ? true : undefined;
    });
    const told = (type: string) => receiver.received.filter((one) => one.type === type).map((one) => one.data.state);
    expect(told('step_up.decided').sort()).toEqual(outcomes.sort());
    // What was decided before anybody heard of it is not announced any more.
    expect(told('step_up.opened').length).toBeLessThanOrEqual(ROUNDS);
    expect(new Set(receiver.ids()).size).toBe(receiver.received.length);
  }, 120_000);

  function check(
    { state, decisions, grants, logged }: Awaited<ReturnType<typeof recordOf>>,
    answers: readonly { index: number; decision: string; answer: Page }[],
  ): void {
    const winners = answers.filter(({ answer }) => answer.status === 200);
    // Whoever decided may have sent it several times: it is made once, and acknowledged each time.
    const winner = winners[0]!;
    const isSame = (one: (typeof winners)[number]) =>
      one.decision === winner.decision && one.index % PEOPLE === winner.index % PEOPLE;
    expect(winners.every(isSame)).toBe(true);
    expect(state).toBe(winner.decision === 'approve' ? 'approved' : 'denied');
    expect(decisions).toMatchObject([{ decision: winner.decision }]);
    expect(grants).toBe(state === 'approved' ? 1 : 0);
    expect(logged).toEqual({ decisions: 1, ends: 1, grants });
    const told = new RegExp(`${names[winner.index % PEOPLE]} ${state} this at \\d{4}-`);
    for (const { answer } of answers.filter((one) => !isSame(one))) {
      expect(answer.status).toBe(409);
      expect(textOf(answer.html)).toMatch(told);
    }
  }
});

describe('where two people are needed', () => {
  let scenes: Scenario[];
  let closers: (() => Promise<void>)[];
  beforeEach(async () => {
    const folder = await policyFolder(await makeScratchDirectory('quorum'), 2);
    const first = await Scenario.create(createTestStore(database, { rules: RULES }), folder);
    const { db, close } = openDatabase<Tables>({ connection: database.connection, poolMax: 12, log: silentLogger });
    const second: Scenario = Object.create(first, { store: { value: createTestStore({ db }, { rules: RULES }) } });
    scenes = [first, second];
    closers = [() => first.freeNames(), close];
    return async () => {
      for (const close of closers) await close();
    };
  });

  test(`${CLICKS} approvals of ${PEOPLE} people: two of them decide, each once, and one grant is made`, async () => {
    const people: SignedIn[] = [];
    for (let index = 0; index < PEOPLE; index += 1) people.push(await scenes[0]!.addPerson(`Voter ${index}`, true));
    const stepUpId = await scenes[0]!.ask('write_file', { path: 'two', content: 'x' });
    const answers = await Promise.all(
      Array.from({ length: CLICKS }, (_, click) =>
        scenes[click % 2]!.decide(stepUpId, people[click % PEOPLE]!, 'approve'),
      ),
    );
    const { state, decisions, grants, logged } = await recordOf(stepUpId);
    expect(state).toBe('approved');
    expect(new Set(decisions.map((one) => one.person_id)).size).toBe(2);
    expect([decisions.length, grants]).toEqual([2, 1]);
    expect(logged).toEqual({ decisions: 2, ends: 1, grants: 1 });
    for (const [click, answer] of answers.entries()) {
      // The same decision by the same person, sent again, is acknowledged again.
      const isTheirs = decisions.some((one) => one.person_id === people[click % PEOPLE]!.person.id);
      expect(answer.ok).toBe(isTheirs);
      if (!answer.ok) expect(answer.refusal.code).toBe('already_decided');
    }
  }, 60_000);
});
