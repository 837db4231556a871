import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patch, type ScimServer, startScimServer } from './scim_server.ts';

// The shapes of requests are those that Microsoft Entra ID sends: capitals in operations, text for booleans, filters in paths.

let server: ScimServer;

beforeAll(async () => {
  server = await startScimServer();
});
afterAll(() => server.close());

function newUser(name: string) {
  return {
    schemas: [
      'urn:ietf:params:scim:schemas:core:2.0:User',
      'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User',
    ],
    externalId: randomUUID(),
    userName: `${name}@contoso.example`,
    active: true,
    displayName: `${name} of Contoso`,
    emails: [{ primary: true, type: 'work', value: `${name}@contoso.example` }],
    meta: { resourceType: 'User' },
    name: { formatted: `${name} Formatted`, familyName: 'Family', givenName: name },
    'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User': { department: 'Bridges' },
    roles: [],
  };
}

async function provision(name: string): Promise<string> {
  const made = await server.call('POST', '/Users', newUser(name));
  expect(made.status).toBe(201);
  return made.body.id;
}

describe('users', () => {
  test('the connection test asks for somebody who does not exist, and gets an empty list', async () => {
    const { status, body, type } = await server.call('GET', `/Users?filter=userName+eq+"${randomUUID()}"`);
    expect(type).toMatch(/^application\/scim\+json/);
    expect([status, body.totalResults, body.Resources, body.startIndex, body.itemsPerPage]).toEqual([200, 0, [], 1, 0]);
    expect(body.schemas).toEqual(['urn:ietf:params:scim:api:messages:2.0:ListResponse']);
  });

  test('a user is made, found by userName in any case and by externalId, and shown as it was sent', async () => {
    const user = newUser('ada');
    const made = await server.call('POST', '/Users', user);
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`${server.base}/Users/${made.body.id}`);
    expect(made.body).toMatchObject({
      userName: user.userName,
      displayName: 'ada of Contoso',
      externalId: user.externalId,
      active: true,
      emails: [{ value: user.userName, type: 'work', primary: true }],
      meta: { resourceType: 'User', location: `${server.base}/Users/${made.body.id}` },
    });
    for (const filter of ['userName eq "ADA@contoso.example"', `externalId eq "${user.externalId}"`]) {
      const found = await server.call('GET', `/Users?filter=${encodeURIComponent(filter)}`);
      expect(found.body.Resources.map((one: { id: string }) => one.id)).toEqual([made.body.id]);
    }
    const row = await server.store.db
      .selectFrom('people')
      .select(['state', 'source', 'is_administrator'])
      .where('id', '=', made.body.id)
      .executeTakeFirstOrThrow();
    expect(row).toEqual({ state: 'active', source: 'scim', is_administrator: false });
  });

  test('attributes change by paths with filters, and by names that are paths', async () => {
    const id = await provision('bob');
    const changed = await server.call(
      'PATCH',
      `/Users/${id}`,
      patch(
        { op: 'Replace', path: 'emails[type eq "work"].value', value: 'robert@contoso.example' },
        { op: 'Add', path: 'name.formatted', value: 'Robert' },
        {
          op: 'Replace',
          path: 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department',
          value: 'Roads',
        },
      ),
    );
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({ displayName: 'Robert', emails: [{ value: 'robert@contoso.example' }] });
    const again = await server.call(
      'PATCH',
      `/Users/${id}`,
      patch({ op: 'Add', value: { 'name.givenName': 'R', displayName: 'Rob', 'emails[type eq "home"].value': 'x@y' } }),
    );
    expect(again.body).toMatchObject({ displayName: 'Rob', emails: [{ value: 'robert@contoso.example' }] });
  });

  test('"False" as text disables, and the session ends with it; "True" lets them sign in again', async () => {
    const id = await provision('carol');
    await server.store.db
      .insertInto('sessions')
      .values({
        id_hash: `s-${id}`,
        person_id: id,
        amr: '[]',
        expires_at: new Date(Date.now() + 60_000),
        revoked_at: null,
      })
      .execute();
    const off = await server.call('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'active', value: 'False' }));
    expect([off.status, off.body.active]).toEqual([200, false]);
    const session = await server.store.db
      .selectFrom('sessions')
      .select('revoked_at')
      .where('person_id', '=', id)
      .executeTakeFirstOrThrow();
    expect(session.revoked_at).not.toBeNull();
    const event = await server.store.db
      .selectFrom('events')
      .select('body')
      .where('kind', '=', 'person.disabled')
      .where('body', 'like', `%${id}%`)
      .executeTakeFirstOrThrow();
    expect(JSON.parse(event.body).ids).toMatchObject({ person: id, by: server.tokenId, by_kind: 'api_token' });
    const on = await server.call('PATCH', `/Users/${id}`, patch({ op: 'Add', value: { active: 'True' } }));
    expect([on.status, on.body.active]).toEqual([200, true]);
  });

  test('a deleted user is gone for the directory and disabled for everybody; the name is free again', async () => {
    const id = await provision('dora');
    expect((await server.call('DELETE', `/Users/${id}`)).status).toBe(204);
    const gone = await server.call('GET', `/Users/${id}`);
    expect([gone.status, gone.body.status, gone.body.schemas]).toEqual([
      404,
      '404',
      ['urn:ietf:params:scim:api:messages:2.0:Error'],
    ]);
    expect((await server.call('DELETE', `/Users/${id}`)).status).toBe(404);
    const row = await server.store.db
      .selectFrom('people')
      .select(['state', 'deleted_at'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    expect(row.state).toBe('disabled');
    expect(row.deleted_at).not.toBeNull();
    expect(await provision('dora')).not.toBe(id);
  });

  test('a user who was disabled before is deleted as well', async () => {
    const id = await provision('erin');
    await server.call('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'active', value: 'False' }));
    expect((await server.call('DELETE', `/Users/${id}`)).status).toBe(204);
    expect((await server.call('GET', `/Users/${id}`)).status).toBe(404);
  });
});

describe('groups', () => {
  test('a group is made without members, found without them, and gets and loses them one by one', async () => {
    const [first, second] = [await provision('gina'), await provision('hugo')];
    const made = await server.call('POST', '/Groups', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'],
      externalId: randomUUID(),
      displayName: 'Payments',
      meta: { resourceType: 'Group' },
    });
    expect(made.status).toBe(201);
    const { id } = made.body;
    const filter = encodeURIComponent('displayName eq "payments"');
    const found = await server.call('GET', `/Groups?excludedAttributes=members&filter=${filter}`);
    expect(found.body).toMatchObject({ totalResults: 1, Resources: [{ id, displayName: 'Payments' }] });
    expect(found.body.Resources[0].members).toBeUndefined();
    const add = { op: 'Add', path: 'members', value: [{ value: first }, { value: second }] };
    const added = await server.call('PATCH', `/Groups/${id}`, patch(add));
    expect(added.body.members.map((one: { value: string }) => one.value).sort()).toEqual([first, second].sort());
    const remove = { op: 'Remove', path: 'members', value: [{ value: first }] };
    const removed = await server.call('PATCH', `/Groups/${id}`, patch(remove));
    expect(removed.body.members.map((one: { value: string }) => one.value)).toEqual([second]);
    const asked = `id eq "${id}" and members eq "${second}"`;
    expect((await server.call('GET', `/Groups?filter=${encodeURIComponent(asked)}`)).body.totalResults).toBe(1);
    const other = `id eq "${id}" and members eq "${first}"`;
    expect((await server.call('GET', `/Groups?filter=${encodeURIComponent(other)}`)).body.totalResults).toBe(0);
    const user = await server.call('GET', `/Users/${second}`);
    expect(user.body.groups).toMatchObject([{ value: id, display: 'Payments' }]);
  });

  test('a member who does not exist, or is none of the directory, is refused', async () => {
    const made = await server.call('POST', '/Groups', { displayName: 'Ghosts' });
    const local = await server.store.db
      .insertInto('people')
      .values({
        id: `prs_${'a'.repeat(26)}`,
        display_name: 'Local',
        state: 'active',
        is_administrator: true,
        user_handle: Buffer.from('local'),
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    for (const value of ['prs_nobody', local.id]) {
      const add = await server.call(
        'PATCH',
        `/Groups/${made.body.id}`,
        patch({ op: 'Add', path: 'members', value: [{ value }] }),
      );
      expect([add.status, add.body.scimType]).toEqual([400, 'invalidValue']);
    }
  });

  test('a deleted group is gone', async () => {
    const made = await server.call('POST', '/Groups', { displayName: 'Short-lived' });
    expect((await server.call('DELETE', `/Groups/${made.body.id}`)).status).toBe(204);
    expect((await server.call('GET', `/Groups/${made.body.id}`)).status).toBe(404);
    expect(
      (await server.call('PATCH', `/Groups/${made.body.id}`, patch({ op: 'Add', path: 'members', value: [] }))).status,
    ).toBe(404);
  });
});
