import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patch, type ScimServer, startScimServer } from './scim_server.ts';

// The shapes of requests are those that Okta sends: whole replacements, patches without a path, pages by startIndex and count.

let server: ScimServer;

beforeAll(async () => {
  server = await startScimServer();
});
afterAll(() => server.close());

function newUser(name: string, changes: object = {}) {
  return {
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
    userName: `${name}@okta.example`,
    name: { givenName: name, familyName: 'Okta' },
    emails: [{ primary: true, value: `${name}@okta.example`, type: 'work' }],
    displayName: `${name} Okta`,
    locale: 'en-US',
    externalId: `00u-${name}`,
    groups: [],
    password: 'never kept',
    active: true,
    ...changes,
  };
}

describe('users', () => {
  test('are looked up page by page', async () => {
    const name = encodeURIComponent('userName eq "nobody@okta.example"');
    const none = await server.call('GET', `/Users?filter=${name}&startIndex=1&count=100`);
    expect(none.body).toMatchObject({ totalResults: 0, startIndex: 1, itemsPerPage: 0 });
    for (let index = 0; index < 5; index += 1) await server.call('POST', '/Users', newUser(`page${index}`));
    const seen = new Set<string>();
    for (const startIndex of [1, 3, 5]) {
      const page = await server.call('GET', `/Users?startIndex=${startIndex}&count=2`);
      expect(page.body).toMatchObject({ totalResults: 5, startIndex, itemsPerPage: startIndex === 5 ? 1 : 2 });
      for (const user of page.body.Resources) seen.add(user.id);
    }
    expect(seen.size).toBe(5);
    expect((await server.call('GET', '/Users?count=0')).body).toMatchObject({ totalResults: 5, Resources: [] });
    expect((await server.call('GET', '/Users?startIndex=-3&count=-1')).body).toMatchObject({
      startIndex: 1,
      itemsPerPage: 0,
    });
  });

  test('are replaced whole: what is left out is taken away, but nobody is enabled by leaving something out', async () => {
    const made = await server.call('POST', '/Users', newUser('ida'));
    const put = await server.call('PUT', `/Users/${made.body.id}`, {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      id: made.body.id,
      userName: 'ida2@okta.example',
      name: { givenName: 'Ida', familyName: 'Lovelace' },
      active: false,
    });
    expect([put.status, put.body.userName, put.body.displayName, put.body.active]).toEqual([
      200,
      'ida2@okta.example',
      'Ida Lovelace',
      false,
    ]);
    expect([put.body.emails, put.body.externalId]).toEqual([undefined, undefined]);
    const silent = await server.call('PUT', `/Users/${made.body.id}`, { userName: 'ida2@okta.example' });
    expect(silent.body.active).toBe(false);
    const back = await server.call('PUT', `/Users/${made.body.id}`, newUser('ida', { active: true }));
    expect([back.body.active, back.body.externalId]).toEqual([true, '00u-ida']);
  });

  test('are deactivated by a patch without a path', async () => {
    const made = await server.call('POST', '/Users', newUser('jan'));
    const off = await server.call(
      'PATCH',
      `/Users/${made.body.id}`,
      patch({ op: 'replace', value: { active: false } }),
    );
    expect([off.status, off.body.active]).toEqual([200, false]);
  });

  test('a second user of the same name is refused as not unique', async () => {
    await server.call('POST', '/Users', newUser('kim'));
    const twice = await server.call('POST', '/Users', newUser('KIM'));
    expect([twice.status, twice.body.scimType, twice.body.status]).toEqual([409, 'uniqueness', '409']);
    const other = await server.call('POST', '/Users', newUser('lea'));
    const taken = await server.call(
      'PATCH',
      `/Users/${other.body.id}`,
      patch({ op: 'replace', value: { userName: 'kim@okta.example' } }),
    );
    expect(taken.status).toBe(409);
  });

  test('a password that is sent is neither kept nor recorded', async () => {
    await server.call('POST', '/Users', newUser('mia'));
    const rows = await server.store.db.selectFrom('events').select(['body', 'personal']).execute();
    expect(JSON.stringify(rows)).not.toContain('never kept');
    expect(JSON.stringify(await server.store.db.selectFrom('people').selectAll().execute())).not.toContain(
      'never kept',
    );
  });
});

describe('groups', () => {
  test('are made with members, renamed without a path, and emptied one by one', async () => {
    const users: string[] = [];
    for (const name of ['nia', 'oli']) users.push((await server.call('POST', '/Users', newUser(name))).body.id);
    const made = await server.call('POST', '/Groups', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'],
      displayName: 'Auditors',
      members: [{ value: users[0], display: 'nia@okta.example' }],
    });
    expect([made.status, made.body.members.length]).toEqual([201, 1]);
    const { id } = made.body;
    const renamed = await server.call(
      'PATCH',
      `/Groups/${id}`,
      patch({ op: 'replace', value: { id, displayName: 'Reviewers' } }),
    );
    expect([renamed.body.displayName, renamed.body.members.length]).toEqual(['Reviewers', 1]);
    const swapped = await server.call(
      'PATCH',
      `/Groups/${id}`,
      patch(
        { op: 'remove', path: `members[value eq "${users[0]}"]` },
        { op: 'add', path: 'members', value: [{ value: users[1], display: 'oli@okta.example' }] },
      ),
    );
    expect(swapped.body.members.map((one: { value: string }) => one.value)).toEqual([users[1]]);
    const replaced = await server.call(
      'PATCH',
      `/Groups/${id}`,
      patch({ op: 'replace', path: 'members', value: [{ value: users[0] }] }),
    );
    expect(replaced.body.members.map((one: { value: string }) => one.value)).toEqual([users[0]]);
    const put = await server.call('PUT', `/Groups/${id}`, { displayName: 'Reviewers', members: [] });
    expect(put.body.members).toEqual([]);
    expect((await server.call('POST', '/Groups', { displayName: 'REVIEWERS' })).status).toBe(409);
  });
});
