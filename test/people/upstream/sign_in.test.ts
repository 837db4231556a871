import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createUser } from '../../../src/people/directory/users.ts';
import type { UpstreamSettings } from '../../../src/people/upstream/settings_schema.ts';
import { signInUpstream } from '../../../src/people/upstream/sign_in.ts';
import { disablePerson } from '../../../src/tasks/revoke/disable_person.ts';
import { startUpstreamProvider, type UpstreamProvider } from '../../support/upstream_provider.ts';
import { type Landed, serveUpstreamConsole, type UpstreamConsole } from './upstream_console.ts';

const BY = { kind: 'server', id: 'server' } as const;
const PARALLEL = 20;
let site: UpstreamConsole;
let upstream: UpstreamProvider;
let people = 0;

beforeAll(async () => {
  site = await serveUpstreamConsole();
  upstream = await startUpstreamProvider([site.callback('corp'), site.callback('other')]);
});
afterAll(async () => {
  await upstream?.stop();
  await site?.close();
});
beforeEach(() => {
  people += 1;
  configure({});
});

function configure(changes: Partial<UpstreamSettings>): void {
  const settings = { id: 'corp', name: 'Corp SSO', issuer: upstream.issuer, groups_claim: 'groups' };
  site.use([{ ...settings, allowed_groups: ['staff'], ...changes }], [upstream.host]);
}

const sub = () => `sub-${people}`;
const says = (claims: Record<string, unknown> = {}, more: { amr?: string[]; acr?: string } = {}) =>
  upstream.signsInNext({ sub: sub(), claims: { name: 'Ada Lovelace', groups: ['staff'], ...claims }, ...more });

async function groupsOf(personId: string): Promise<string[]> {
  const rows = await site.store.db
    .selectFrom('group_members')
    .innerJoin('groups', 'groups.id', 'group_members.group_id')
    .select('display_name')
    .where('person_id', '=', personId)
    .orderBy('display_name')
    .execute();
  return rows.map((row) => row.display_name);
}

async function peopleThere(): Promise<number> {
  return (await site.store.db.selectFrom('people').select('id').execute()).length;
}

describe('signing in by a real OpenID provider', () => {
  test('the page offers it, and whoever comes for the first time becomes a person, without rights', async () => {
    expect(await (await site.newBrowser().get('/sign-in?return_to=/tasks', { accept: 'text/html' })).text()).toContain(
      '<a class="button primary" href="/sign-in/with/corp?return_to=%2Ftasks">Sign in with Corp SSO</a>',
    );
    await says();
    const landed = await site.signIn('corp', '?return_to=/tasks');
    expect([landed.status, landed.location]).toEqual([303, '/account?welcome=yes&return_to=%2Ftasks']);
    expect(landed.signedIn).toMatchObject({
      person: { displayName: 'Ada Lovelace', isAdministrator: false },
      amr: ['upstream'],
    });
    const row = await site.store.db
      .selectFrom('people')
      .select(['source', 'state'])
      .where('id', '=', landed.signedIn!.person.id)
      .executeTakeFirstOrThrow();
    expect(row).toEqual({ source: 'oidc', state: 'active' });
  });

  test('the same subject is the same person; name and groups follow what the provider says now', async () => {
    await says({ groups: ['staff', `red-${people}`] });
    const first = (await site.signIn('corp')).signedIn!.person.id;
    expect(await groupsOf(first)).toEqual([`red-${people}`, 'staff']);
    await says({ name: 'Ada King', groups: ['staff', `blue-${people}`] });
    const again = (await site.signIn('corp')).signedIn!.person;
    expect([again.id, again.displayName]).toEqual([first, 'Ada King']);
    expect(await groupsOf(first)).toEqual([`blue-${people}`, 'staff']);
  });

  test('a mail address, a name or a user name is nobody: another subject is another person', async () => {
    const claims = { email: 'ada@example.com', preferred_username: 'ada', name: 'Ada' };
    await says(claims);
    const first = (await site.signIn('corp')).signedIn!.person.id;
    people += 1;
    await says(claims);
    expect((await site.signIn('corp')).signedIn!.person.id).not.toBe(first);
  });

  test('nor does the same subject of another provider sign in as the first', async () => {
    await says();
    const first = (await site.signIn('corp')).signedIn!.person.id;
    const second = await startUpstreamProvider([site.callback('other')]);
    try {
      site.use([{ id: 'other', issuer: second.issuer, new_people: 'anyone' }], [second.host]);
      await second.signsInNext({ sub: sub() });
      const other = (await site.signIn('other')).signedIn!.person.id;
      expect(other).not.toBe(first);
    } finally {
      await second.stop();
    }
  });

  test('who is in none of the groups that may come is refused, and told so; also after they left', async () => {
    await says({ groups: ['visitors'] });
    const before = await peopleThere();
    const landed = await site.signIn('corp');
    expect([landed.status, landed.signedIn]).toEqual([403, null]);
    expect(landed.text).toContain('none of the groups that may sign in here');
    expect(await peopleThere()).toBe(before);
    await says();
    expect((await site.signIn('corp')).status).toBe(303);
    await says({ groups: [] });
    expect((await site.signIn('corp')).status).toBe(403);
  });

  test('nobody new comes where the configuration names nobody', async () => {
    await says();
    for (const changes of [{ new_people: 'nobody' as const }, { allowed_groups: [] }]) {
      configure(changes);
      const landed = await site.signIn('corp');
      expect([landed.status, landed.signedIn]).toEqual([403, null]);
      expect(landed.text).toContain('nobody has given you access');
    }
  });

  test('administrators are who is in their group, as long as they are', async () => {
    configure({ administrators_group: 'admins' });
    await says({ groups: ['staff', 'admins'] });
    expect((await site.signIn('corp')).signedIn!.person.isAdministrator).toBe(true);
    await says({ groups: ['staff'] });
    expect((await site.signIn('corp')).signedIn!.person.isAdministrator).toBe(false);
  });

  test('a map names the groups here, and what it does not name is none', async () => {
    configure({ groups_map: { staff: `mapped-${people}` } });
    await says({ groups: ['staff', 'secret-project'] });
    expect(await groupsOf((await site.signIn('corp')).signedIn!.person.id)).toEqual([`mapped-${people}`]);
  });

  test('T11: without the second factor that is asked for, no session', async () => {
    configure({ required_amr: ['mfa'] });
    await says({}, { amr: ['pwd'] });
    const landed = await site.signIn('corp');
    expect([landed.status, landed.signedIn]).toEqual([403, null]);
    expect(landed.text).toContain('second factor');
    await says({}, { amr: ['pwd', 'mfa'] });
    expect((await site.signIn('corp')).signedIn!.amr).toEqual(['upstream', 'upstream:pwd', 'upstream:mfa']);
    configure({ required_acr: ['mfa'] });
    await says();
    expect((await site.signIn('corp')).signedIn).toBeNull();
    await says({}, { acr: 'mfa' });
    expect((await site.signIn('corp')).signedIn).not.toBeNull();
  });

  test('a group that the directory manages is not joined by a claim', async () => {
    await site.store.db
      .insertInto('groups')
      .values({ id: `grp_${'a'.repeat(26)}`, display_name: 'payments', external_id: null, source: 'scim' })
      .execute();
    await says({ groups: ['staff', 'Payments'] });
    expect(await groupsOf((await site.signIn('corp')).signedIn!.person.id)).toEqual(['staff']);
  });
});

describe('people of a directory', () => {
  const user = (externalId: string) => ({
    userName: `user-${externalId}`,
    displayName: 'From the directory',
    email: null,
    externalId,
    isActive: true,
  });
  const provision = async (externalId: string) => {
    const made = await createUser(site.store, { user: user(externalId), by: BY });
    if (!made.ok) throw new Error(made.refusal.message);
    return made.value.id;
  };

  test('sign in as whom the directory made under the same id, also where nobody new may come', async () => {
    configure({ directory_claim: 'oid', new_people: 'nobody' });
    const id = await provision(`oid-${people}`);
    await says({ oid: `oid-${people}` });
    const { signedIn } = await site.signIn('corp');
    expect(signedIn!.person).toMatchObject({ id, displayName: 'From the directory' });
  });

  test('two subjects never are the same person of the directory', async () => {
    configure({ directory_claim: 'oid' });
    const oid = `oid-${people}`;
    const id = await provision(oid);
    await says({ oid });
    expect((await site.signIn('corp')).signedIn!.person.id).toBe(id);
    people += 1;
    await says({ oid });
    expect((await site.signIn('corp')).signedIn).toBeNull();
  });

  test('who came before the directory named them is taken over by it', async () => {
    configure({ directory_claim: 'oid' });
    await says({ oid: `oid-${people}` });
    const before = (await site.signIn('corp')).signedIn!.person.id;
    expect(await provision(`oid-${people}`)).toBe(before);
  });

  test(`${PARALLEL} times at once, the directory and a first sign-in make one person`, async () => {
    for (let round = 0; round < PARALLEL; round += 1) {
      const directoryId = `both-${round}`;
      const admitted = { issuer: 'i', subject: directoryId, displayName: null, groups: null, isAdministrator: null };
      const [id, signedIn] = await Promise.all([
        provision(directoryId),
        signInUpstream(site.store, { ...admitted, directoryId, mayBeNew: true, amr: ['upstream'], authTime: null }),
      ]);
      expect(signedIn).toMatchObject({ ok: true, value: { personId: id } });
    }
  });

  test('T28: who was disabled signs in no more; who was deleted and made anew does, as the new one', async () => {
    configure({ directory_claim: 'oid' });
    const oid = `oid-${people}`;
    const id = await provision(oid);
    await says({ oid });
    expect((await site.signIn('corp')).signedIn!.person.id).toBe(id);
    await disablePerson(site.store, { personId: id, by: BY, reason: '' });
    const refused = await site.signIn('corp');
    expect([refused.status, refused.signedIn]).toEqual([403, null]);
    expect(refused.text).toContain('You were disabled here');
    await site.store.db.updateTable('people').set({ deleted_at: new Date() }).where('id', '=', id).execute();
    expect((await site.signIn('corp')).signedIn).toBeNull();
    const again = await provision(oid);
    expect((await site.signIn('corp')).signedIn!.person.id).toBe(again);
  });
});

/** Who got in. A busy machine may keep one waiting for a lock for too long, who is told to try again. */
function signedInOf(landed: readonly Landed[]): string[] {
  for (const one of landed) expect([303, 503]).toContain(one.status);
  return landed.flatMap((one) => (one.signedIn === null ? [] : [one.signedIn.person.id]));
}

test(`of ${PARALLEL} browsers that come at once for the first time, all are one person`, async () => {
  await says();
  const browsers = Array.from({ length: PARALLEL }, () => site.newBrowser());
  const answers: URL[] = [];
  for (const browser of browsers) answers.push(await site.goThere(browser, 'corp'));
  const landed = await Promise.all(browsers.map((browser, index) => site.comeBack(browser, answers[index]!)));
  const ids = new Set(signedInOf(landed));
  expect(ids.size).toBe(1);
  const known = await site.store.db.selectFrom('identities').select('person_id').where('subject', '=', sub()).execute();
  expect(known.map((row) => row.person_id)).toEqual([...ids]);
});

test(`${PARALLEL} people who come at once with the same new groups are all in them`, async () => {
  const names = ['staff', ...Array.from({ length: 5 }, (_, index) => `new-${index}`)];
  const trips: { browser: ReturnType<UpstreamConsole['newBrowser']>; answer: URL }[] = [];
  for (let index = 0; index < PARALLEL; index += 1) {
    people += 1;
    await says({ groups: index % 2 === 0 ? names : [...names].reverse() });
    const browser = site.newBrowser();
    trips.push({ browser, answer: await site.goThere(browser, 'corp') });
  }
  const landed = await Promise.all(trips.map(({ browser, answer }) => site.comeBack(browser, answer)));
  const ids = signedInOf(landed);
  expect(ids.length).toBeGreaterThan(0);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(await groupsOf(id)).toEqual([...names].sort());
});
