import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGroup } from '../../src/people/directory/groups.ts';
import { type ServedConsole, serveConsole } from './served_console.ts';

let site: ServedConsole;
let cookie: string;

beforeAll(async () => {
  site = await serveConsole();
  cookie = await site.signIn(site.scenario.administrator);
});
afterAll(() => site.close());

const page = async () => (await site.get('/people', cookie)).text();
const csrf = async () => /name="csrf" value="([^"]+)"/.exec((await page()).split('/people/invite')[1]!)![1]!;
const stateOf = async (id: string) =>
  (await site.store.db.selectFrom('people').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;

describe('the page about people', () => {
  it('says where each comes from, what the directory calls them, and which groups they are in', async () => {
    const { person } = await site.scenario.addPerson('Mallory <b>', false);
    await site.store.db
      .updateTable('people')
      .set({ source: 'scim', user_name: 'mallory@example.com' })
      .where('id', '=', person.id)
      .execute();
    const by = { kind: 'server', id: 'server' } as const;
    const memberIds = [person.id];
    await createGroup(site.store, { displayName: 'Payments', externalId: null, memberIds, by });
    const text = await page();
    expect(text).toContain('From your directory as mallory@example.com');
    expect(text).toContain('In Payments');
    expect(text).toContain('Added here, since');
    expect(text).not.toContain('Mallory <b>');
  });

  it('lets an administrator disable and enable somebody, but not themselves, and says who is deleted', async () => {
    const { person } = await site.scenario.addPerson('Trent', false);
    const fields = { csrf: await csrf(), reason: 'left' };
    expect((await site.post(`/people/${person.id}/disable`, cookie, fields)).status).toBe(303);
    expect(await stateOf(person.id)).toBe('disabled');
    expect((await site.post(`/people/${person.id}/enable`, cookie, fields)).status).toBe(303);
    expect(await stateOf(person.id)).toBe('active');
    const own = site.scenario.administrator.person.id;
    expect(await page()).not.toContain(`/people/${own}/disable`);
    await site.store.db
      .updateTable('people')
      .set({ state: 'disabled', deleted_at: new Date() })
      .where('id', '=', person.id)
      .execute();
    expect(await page()).not.toContain(`/people/${person.id}/enable`);
    const back = await site.post(`/people/${person.id}/enable`, cookie, fields);
    expect([back.status, await stateOf(person.id)]).toEqual([409, 'disabled']);
  });

  it('changes nothing for others, without the form’s token, or from another site', async () => {
    const { person } = await site.scenario.addPerson('Peggy', false);
    const other = await site.signIn(site.scenario.requester);
    const path = `/people/${person.id}/disable`;
    const good = { csrf: await csrf(), reason: '' };
    const answers = await Promise.all([
      site.post(path, other, good),
      site.post(path, cookie, { csrf: 'x', reason: '' }),
      site.post(path, cookie, good, { origin: 'https://evil.example' }),
    ]);
    expect(answers.map((answer) => answer.status)).toEqual([403, 403, 403]);
    expect(await stateOf(person.id)).toBe('active');
  });
});
