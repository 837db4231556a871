import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { revokeApiToken } from '../../../src/people/api_tokens.ts';
import { patch, type ScimServer, startScimServer } from './scim_server.ts';

const PARALLEL = 24;
let server: ScimServer;

beforeAll(async () => {
  server = await startScimServer();
});
afterAll(() => server.close());

describe('who may ask', () => {
  test('nobody without a token of the scope', async () => {
    const missing = await fetch(`${server.base}/Users`);
    expect([missing.status, missing.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect((await missing.json()) as object).toMatchObject({ status: '401' });
    const forged = await server.call('GET', '/Users', undefined, { authorization: `Bearer cst_${'a'.repeat(43)}` });
    expect(forged.status).toBe(401);
    const other = await server.makeToken(['agents:read', 'people:read']);
    for (const [method, path] of [
      ['GET', '/Users'],
      ['POST', '/Users'],
      ['DELETE', '/Users/prs_x'],
      ['PATCH', '/Groups/grp_x'],
      ['GET', '/ServiceProviderConfig'],
    ] as const) {
      const answer = await server.call(method, path, method === 'GET' ? undefined : {}, {
        authorization: `Bearer ${other}`,
      });
      expect(answer.status).toBe(403);
      expect(answer.headers.get('www-authenticate')).toContain('insufficient_scope');
    }
  });

  test('nor with one that was revoked', async () => {
    const token = await server.makeToken(['scim']);
    const headers = { authorization: `Bearer ${token}` };
    expect((await server.call('GET', '/Users', undefined, headers)).status).toBe(200);
    const row = await server.store.db
      .selectFrom('api_tokens')
      .select('id')
      .orderBy('created_at', 'desc')
      .limit(1)
      .executeTakeFirstOrThrow();
    await revokeApiToken(server.store, { id: row.id, by: { kind: 'server', id: 'server' } });
    expect((await server.call('GET', '/Users', undefined, headers)).status).toBe(401);
  });
});

test('a directory sees and changes only people of a directory', async () => {
  const id = `prs_${'b'.repeat(26)}`;
  await server.store.db
    .insertInto('people')
    .values({ id, display_name: 'Local', state: 'active', is_administrator: true, user_handle: Buffer.from(id) })
    .execute();
  const off = patch({ op: 'replace', value: { active: false } });
  const statuses = [];
  for (const [method, body] of [
    ['GET'],
    ['PATCH', off],
    ['PUT', { userName: 'x', active: false }],
    ['DELETE'],
  ] as const) {
    statuses.push((await server.call(method, `/Users/${id}`, body)).status);
  }
  expect(statuses).toEqual([404, 404, 404, 404]);
  const row = await server.store.db.selectFrom('people').select('state').where('id', '=', id).executeTakeFirstOrThrow();
  expect(row.state).toBe('active');
});

test('the last administrator is not taken away by their directory, which is told why', async () => {
  const { id } = (await server.call('POST', '/Users', { userName: 'boss@example.com' })).body;
  const { db } = server.store;
  await db.updateTable('people').set({ is_administrator: false }).where('is_administrator', '=', true).execute();
  await db.updateTable('people').set({ is_administrator: true }).where('id', '=', id).execute();
  const off = await server.call('PATCH', `/Users/${id}`, patch({ op: 'replace', value: { active: false } }));
  const gone = await server.call('DELETE', `/Users/${id}`);
  expect([off.status, off.body.scimType, gone.status]).toEqual([409, undefined, 409]);
  expect(gone.body.detail).toContain('last administrator');
  expect((await server.call('GET', `/Users/${id}`)).body.active).toBe(true);
});

describe('what it says of itself', () => {
  test('ServiceProviderConfig, ResourceTypes and Schemas are there, each also by id', async () => {
    const config = await server.call('GET', '/ServiceProviderConfig');
    expect(config.body).toMatchObject({
      patch: { supported: true },
      bulk: { supported: false },
      etag: { supported: false },
    });
    for (const [path, ids] of [
      ['/ResourceTypes', ['User', 'Group']],
      ['/Schemas', ['urn:ietf:params:scim:schemas:core:2.0:User', 'urn:ietf:params:scim:schemas:core:2.0:Group']],
    ] as const) {
      const list = await server.call('GET', path);
      expect(list.body.Resources.map((one: { id: string }) => one.id)).toEqual(ids);
      for (const id of ids) expect((await server.call('GET', `${path}/${id}`)).body.id).toBe(id);
      expect((await server.call('GET', `${path}/nothing`)).status).toBe(404);
    }
    expect((await server.call('GET', '/Nothing')).body).toMatchObject({ status: '404' });
  });

  test('only the attributes that were asked for are sent', async () => {
    const made = await server.call('POST', '/Users', { userName: 'lean@example.com', externalId: 'lean' });
    const only = await server.call('GET', `/Users/${made.body.id}?attributes=userName,emails.value`);
    expect(Object.keys(only.body).sort()).toEqual(['id', 'schemas', 'userName']);
    const without = await server.call('GET', `/Users/${made.body.id}?excludedAttributes=meta,id`);
    expect([without.body.meta, without.body.id]).toEqual([undefined, made.body.id]);
  });
});

describe('what is refused', () => {
  test.each([
    ['a filter that is none of ours', 'userName sw "a"'],
    ['one that negates', 'not (userName eq "a")'],
    ['one with or', 'userName eq "a" or userName eq "b"'],
    ['one by an attribute that is not kept', 'nickName eq "a"'],
    ['one by what every object of JavaScript has', 'constructor eq "true"'],
    ['an empty one', ''],
    ['one cut off', 'userName eq "a" and'],
    ['one with a quote inside', 'userName eq "a" eq "b"'],
  ])('%s', async (_, filter) => {
    for (const kind of ['Users', 'Groups']) {
      const answer = await server.call('GET', `/${kind}?filter=${encodeURIComponent(filter)}`);
      expect([answer.status, answer.body.scimType]).toEqual([400, 'invalidFilter']);
    }
  });

  test.each([
    ['no JSON', 'POST', '/Users', 'text', 'invalidSyntax'],
    ['no userName', 'POST', '/Users', { displayName: 'x' }, 'invalidSyntax'],
    ['a name with invisible characters', 'POST', '/Users', { userName: 'a\u202eb' }, 'invalidValue'],
    ['active as a word', 'POST', '/Users', { userName: 'w', active: 'perhaps' }, 'invalidValue'],
    ['a group that looks like an id', 'POST', '/Groups', { displayName: `grp_${'a'.repeat(26)}` }, 'invalidValue'],
  ])('%s', async (_, method, path, body, scimType) => {
    const answer = await server.call(method, path, body);
    expect([answer.status, answer.body.scimType]).toEqual([400, scimType]);
  });

  test.each([
    ['an unknown operation', { op: 'move', path: 'active', value: true }, 'invalidSyntax'],
    ['a path that cannot be read', { op: 'replace', path: 'emails[type', value: 'x' }, 'invalidPath'],
    ['removing without a path', { op: 'remove', value: { active: true } }, 'invalidPath'],
    ['removing what is required', { op: 'remove', path: 'userName' }, 'mutability'],
    ['a value of the wrong kind', { op: 'replace', path: 'userName', value: 7 }, 'invalidValue'],
    ['no path and no attributes', { op: 'replace', value: 'x' }, 'invalidSyntax'],
  ])('in a patch: %s; nothing is changed', async (_, operation, scimType) => {
    const made = await server.call('POST', '/Users', { userName: `patched-${Math.random()}`, displayName: 'Before' });
    const answer = await server.call(
      'PATCH',
      `/Users/${made.body.id}`,
      patch({ op: 'replace', path: 'displayName', value: 'After' }, operation),
    );
    expect([answer.status, answer.body.scimType]).toEqual([400, scimType]);
    expect((await server.call('GET', `/Users/${made.body.id}`)).body.displayName).toBe('Before');
  });
});

describe('at the same moment', () => {
  test('one of many gets the userName', async () => {
    const all = await Promise.all(
      Array.from({ length: PARALLEL }, () => server.call('POST', '/Users', { userName: 'race@example.com' })),
    );
    const statuses = all.map((one) => one.status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: PARALLEL - 1 }, () => 409)]);
  });

  test('one of many that are renamed to it, too', async () => {
    const made = await Promise.all(
      Array.from({ length: PARALLEL }, (_, index) => server.call('POST', '/Users', { userName: `rename-${index}` })),
    );
    const rename = patch({ op: 'replace', path: 'userName', value: 'renamed@example.com' });
    const all = await Promise.all(made.map((user) => server.call('PATCH', `/Users/${user.body.id}`, rename)));
    const statuses = all.map((one) => one.status).sort();
    expect(statuses).toEqual([200, ...Array.from({ length: PARALLEL - 1 }, () => 409)]);
  });

  test('one of many gets the name of a group', async () => {
    const all = await Promise.all(
      Array.from({ length: PARALLEL }, () => server.call('POST', '/Groups', { displayName: 'Race' })),
    );
    const statuses = all.map((one) => one.status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: PARALLEL - 1 }, () => 409)]);
  });

  test('of many that replace the members, the last one says who they are', async () => {
    const group = (await server.call('POST', '/Groups', { displayName: 'Replaced' })).body.id;
    const users = await Promise.all(
      Array.from({ length: PARALLEL }, (_, index) => server.call('POST', '/Users', { userName: `replaced-${index}` })),
    );
    await Promise.all(
      users.map((user) =>
        server.call('PUT', `/Groups/${group}`, { displayName: 'Replaced', members: [{ value: user.body.id }] }),
      ),
    );
    expect((await server.call('GET', `/Groups/${group}`)).body.members).toHaveLength(1);
  });

  test('no member that is added is lost', async () => {
    const group = (await server.call('POST', '/Groups', { displayName: 'Crowd' })).body.id;
    const users = await Promise.all(
      Array.from({ length: PARALLEL }, (_, index) => server.call('POST', '/Users', { userName: `crowd-${index}` })),
    );
    const ids = users.map((user) => user.body.id as string);
    const added = await Promise.all(
      ids.map((value) =>
        server.call('PATCH', `/Groups/${group}`, patch({ op: 'Add', path: 'members', value: [{ value }] })),
      ),
    );
    expect(new Set(added.map((one) => one.status))).toEqual(new Set([200]));
    const { members } = (await server.call('GET', `/Groups/${group}`)).body;
    expect(members.map((one: { value: string }) => one.value).sort()).toEqual(ids.sort());
  });

  test('whoever is disabled by one of many changes is disabled after all', async () => {
    const { id } = (await server.call('POST', '/Users', { userName: 'busy@example.com' })).body;
    const off = patch({ op: 'Replace', path: 'active', value: 'False' });
    await Promise.all(
      Array.from({ length: PARALLEL }, (_, index) =>
        index === PARALLEL / 2
          ? server.call('PATCH', `/Users/${id}`, off)
          : server.call('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'displayName', value: `Busy ${index}` })),
      ),
    );
    expect((await server.call('GET', `/Users/${id}`)).body.active).toBe(false);
  });
});
