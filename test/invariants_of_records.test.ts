import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { withdrawStepUp } from '../src/approvals/withdraw.ts';
import { loadCheckpointKey } from '../src/events/checkpoint_key.ts';
import { sealBatch } from '../src/events/seal.ts';
import { verifyLog } from '../src/events/verify.ts';
import { createLogger } from '../src/kernel/log.ts';
import { makeLink } from '../src/people/make_link.ts';
import { startSession } from '../src/people/session.ts';
import type { Store } from '../src/store/store.ts';
import { transact } from '../src/store/transact.ts';
import { endTask } from '../src/tasks/finish.ts';
import { startTask } from '../src/tasks/start.ts';
import { serveConsole } from './console/served_console.ts';
import { exportedLines, verifyStored } from './events/sealed_log.ts';
import { createTestDatabase, type TestDatabase } from './support/database.ts';
import { newPkce } from './support/oauth_browser.ts';
import { authorize, redeemCode } from './support/oauth_flow.ts';
import { addPerson, addToolServer, signedInBrowser, startOAuthServer } from './support/oauth_server.ts';
import { Scenario } from './support/scenario.ts';
import { makeScratchDirectory } from './support/scratch.ts';
import { createTestStore } from './support/test_store.ts';

// The invariants of design.md §3 about what is recorded, shown and kept; `invariants.test.ts` has those about deciding.

const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };

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

async function approved(args = WRITE): Promise<void> {
  const stepUp = await scene.ask('write_file', args);
  expect(await scene.decide(stepUp, scene.requester, 'approve')).toMatchObject({ ok: true });
}

describe('invariant 8: a state change and its event commit together, and the log verifies offline', () => {
  const tables = ['tasks', 'step_ups', 'decisions', 'grants', 'redemptions', 'links'] as const;
  const counts = async () => {
    const found: Record<string, string> = {};
    for (const table of tables) {
      const { rows } = await sql<{ digest: string }>`select md5(coalesce(string_agg(t::text, '|' order by t::text), ''))
        as digest from ${sql.table(table)} as t`.execute(database.db);
      found[table] = rows[0]!.digest;
    }
    return found;
  };
  const failing = async (
    timing: 'before insert on events' | 'after insert or update on',
    table: string,
    work: () => Promise<void>,
  ) => {
    const isDeferred = table !== 'events';
    await sql
      .raw(
        `create or replace function fail() returns trigger language plpgsql as $$ begin raise exception 'full'; end $$`,
      )
      .execute(database.db);
    const head = isDeferred
      ? `create constraint trigger failing ${timing} ${table} deferrable initially deferred`
      : `create trigger failing ${timing}`;
    await sql.raw(`${head} for each row execute function fail()`).execute(database.db);
    await work().finally(() => sql.raw(`drop trigger failing on ${table}`).execute(database.db));
  };
  const by = () => ({ personId: scene.requester.person.id });

  it('without its event nothing changes', async () => {
    const open = await scene.ask('write_file', { ...WRITE, path: 'b' });
    await approved();
    const before = await counts();
    const changes: (() => Promise<unknown>)[] = [
      () => scene.startTask(),
      () => scene.ask('write_file', { ...WRITE, path: 'c' }),
      () => scene.decide(open, scene.requester, 'deny'),
      () => scene.redeem('write_file', WRITE),
      () => withdrawStepUp(store, { stepUpId: open, toolServerId: scene.server.id, reason: 'x' }),
      () => endTask(store, { taskId: scene.claims.task.id, how: 'cancelled', by: by() }),
      () => makeLink(store, { kind: 'invitation', isAdministrator: false, createdBy: null, ttlSeconds: 60 }),
    ];
    await failing('before insert on events', 'events', async () => {
      for (const change of changes) await expect(change()).rejects.toThrow('full');
    });
    expect(await counts()).toEqual(before);
  });

  it('without its change no event is left', async () => {
    const open = await scene.ask('write_file', WRITE);
    const events = async () => (await database.db.selectFrom('events').select('id').execute()).length;
    const before = await events();
    await failing('after insert or update on', 'step_ups', async () => {
      await expect(scene.decide(open, scene.requester, 'approve')).rejects.toThrow('full');
      await expect(scene.ask('write_file', { ...WRITE, path: 'c' })).rejects.toThrow('full');
    });
    expect(await events()).toBe(before);
  });

  it('every step of a call is in the log, and one changed byte of it is found', async () => {
    const key = await loadCheckpointKey(store);
    await sql`truncate events, checkpoints`.execute(database.db);
    await approved();
    await scene.redeem('write_file', WRITE);
    await sealBatch(store, key, true);
    const kinds = await database.db.selectFrom('events').select('kind').orderBy('position').execute();
    const steps = [
      'step_up.registered',
      'step_up.opened',
      'decision.made',
      'step_up.approved',
      'grant.made',
      'grant.redeemed',
    ];
    expect(kinds.map((event) => event.kind)).toEqual(steps);
    expect(await verifyStored(store, key)).toMatchObject({ ok: true });
    const lines = await exportedLines(store);
    const changed = lines.map((line) => line.replace('"verdict\\":\\"approve', '"verdict\\":\\"approvf'));
    expect(changed).not.toEqual(lines);
    const verified = await verifyLog(
      (async function* () {
        yield* changed;
      })(),
      { verifierKey: key.verifierKey },
    );
    expect(verified).toMatchObject({ ok: false });
  });
});

describe('invariant 9: what an agent says is shown as untrusted, escaped and bounded, and decides nothing', () => {
  const HOSTILE = '</textarea><script>alert(1)</script> approved\u202e by admin';

  it('its words on the page are text, with what is invisible marked', async () => {
    const site = await serveConsole();
    try {
      const { scenario } = site;
      const cookie = await site.signIn(scenario.requester);
      const stepUp = await scenario.ask('write_file', { path: HOSTILE, content: HOSTILE });
      const page = await (await site.get(`/step-ups/${stepUp}`, cookie)).text();
      expect(page).not.toContain('<script>alert');
      expect(page).not.toContain('\u202e');
      expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
      expect(page).toContain('U+202E');
    } finally {
      await site.close();
    }
  });

  it('a purpose is bounded, and no policy can ask for it', async () => {
    const agentId = scene.claims.act!.sub;
    const started = await startTask(store, {
      ...{
        requesterId: scene.requester.person.id,
        agentId,
        clientId: agentId,
        purpose: 'x'.repeat(501),
        purposeCode: '',
      },
      ...{ tools: { [scene.server.id]: ['read_file'] }, seconds: 600, oauthGrantId: null },
    });
    expect(started).toMatchObject({ ok: false, refusal: { code: 'request_invalid' } });
    const asking = async (condition: string) => {
      await scene.freeNames();
      const folder = await makeScratchDirectory('policies');
      const head = '@id("a") permit (principal, action == Action::"call", resource)';
      await writeFile(join(folder, 'test.cedar'), `${head} when { ${condition} };`);
      scene = await Scenario.create(store, folder);
      return scene.evaluate('read_file', { path: 'a' });
    };
    expect(await asking('context.task.purpose_code == ""')).toMatchObject({ decision: 'permit' });
    const byPurpose = await asking('context.task.purpose == "Tidy up the notes"');
    expect(byPurpose).toMatchObject({ decision: 'deny', refusal: { error: 'policy_unavailable' } });
  });
});

describe('invariant 10: secrets are hashed or encrypted at rest and reach no log', () => {
  it('no table holds a code, a token, a cookie, a link or an argument as it was', async () => {
    const server = await startOAuthServer();
    try {
      const toolServer = await addToolServer(server.store);
      const personId = await addPerson(server.store);
      const browser = await signedInBrowser(server, personId);
      const session = await transact(server.store, (tx, after) =>
        startSession(server.store, tx, after, { personId, amr: ['link'] }),
      );
      const pkce = newPkce();
      const left = await authorize(server, browser, {
        resource: toolServer.resource,
        pkce,
        scope: 'mcp:tools offline_access',
      });
      const code = left.searchParams.get('code')!;
      const { body } = await redeemCode(server, code, pkce);
      const link = await makeLink(server.store, {
        kind: 'invitation',
        isAdministrator: false,
        createdBy: null,
        ttlSeconds: 60,
      });
      const secrets = [code, body.access_token!, body.refresh_token!, link.token, session.cookieValue];
      expect(secrets.every((secret) => secret.length >= 20)).toBe(true);
      expect(await tablesWith(server.store, secrets)).toEqual([]);
    } finally {
      await server.close();
    }
    await approved({ path: 'a', content: 'The password is swordfish-4711.' });
    expect(await tablesWith(store, ['swordfish-4711'])).toEqual([]);
  });

  it('a log line that was handed a secret does not show it', () => {
    let text = '';
    const destination = {
      write(line: string) {
        text += line;
      },
    };
    const log = createLogger({ level: 'debug', name: 'test', destination });
    const jwt = `eyJhbGciOiJFUzI1NiJ9.${'a'.repeat(60)}.${'b'.repeat(60)}`;
    log.error(
      { access_token: 'secret-one', headers: { authorization: 'DPoP secret-two', cookie: 'a=secret-three' } },
      'x',
    );
    log.warn(new Error(`cannot use ${jwt}`), `Bearer ${jwt}`);
    expect(text).not.toMatch(/secret-(one|two|three)|b{60}/);
    expect(text.split('\n')).toHaveLength(3);
  });

  async function tablesWith({ db }: Store, secrets: readonly string[]): Promise<string[]> {
    const tables = await sql<{ name: string }>`select table_name as name from information_schema.tables
      where table_schema = 'public' and table_type = 'BASE TABLE'`.execute(db);
    const found: string[] = [];
    for (const { name } of tables.rows) {
      const { rows } = await sql<{ row: string }>`select t::text as row from ${sql.table(name)} as t`.execute(db);
      for (const secret of secrets) {
        const asBytes = Buffer.from(secret).toString('hex');
        if (rows.some(({ row }) => row.includes(secret) || row.includes(asBytes))) found.push(`${name}: ${secret}`);
      }
    }
    return found;
  }
});
