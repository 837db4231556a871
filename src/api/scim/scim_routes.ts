import type Router from '@koa/router';
import type { JsonObject } from '../../kernel/json.ts';
import { accepted, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import { refusal } from '../../wire/refusals.ts';
import { resourceTypes, schemas, serviceProviderConfig } from './descriptions.ts';
import { deleteGroupById, getGroup, getGroups, patchGroupById, postGroup, putGroup } from './groups.ts';
import { listResponse } from './listing.ts';
import { type ScimHandler, serveScim } from './scim_http.ts';
import { deleteUser, getUser, getUsers, patchUserById, postUser, putUser } from './users.ts';

const BASE = '/scim/v2';

/** SCIM 2.0 (RFC 7643, RFC 7644): an identity provider makes, changes and disables people and groups. */
export function addScimRoutes(router: Router, store: Store): void {
  const at = (method: 'get' | 'post' | 'put' | 'patch' | 'delete', path: string, handler: ScimHandler) =>
    router[method](`${BASE}${path}`, (ctx) => serveScim(ctx, store, handler));
  at('get', '/Users', getUsers);
  at('post', '/Users', postUser);
  at('get', '/Users/:id', getUser);
  at('put', '/Users/:id', putUser);
  at('patch', '/Users/:id', patchUserById);
  at('delete', '/Users/:id', deleteUser);
  at('get', '/Groups', getGroups);
  at('post', '/Groups', postGroup);
  at('get', '/Groups/:id', getGroup);
  at('put', '/Groups/:id', putGroup);
  at('patch', '/Groups/:id', patchGroupById);
  at('delete', '/Groups/:id', deleteGroupById);
  at('get', '/ServiceProviderConfig', async () => accepted({ status: 200, body: serviceProviderConfig(store.issuer) }));
  at('get', '/ResourceTypes', listOf(resourceTypes(store.issuer)));
  at('get', '/ResourceTypes/:id', oneOf(resourceTypes(store.issuer)));
  at('get', '/Schemas', listOf(schemas(store.issuer)));
  at('get', '/Schemas/:id', oneOf(schemas(store.issuer)));
  at('get', '/{*path}', async () => refused(refusal('not_found', 'This address leads nowhere.')));
}

function listOf(all: readonly JsonObject[]): ScimHandler {
  return async () =>
    accepted({ status: 200, body: listResponse({ startIndex: 1, count: all.length }, all.length, all) });
}

function oneOf(all: readonly JsonObject[]): ScimHandler {
  return async ({ id }) => {
    const body = all.find((one) => one.id === id);
    return body === undefined
      ? refused(refusal('not_found', 'There is no such thing.'))
      : accepted({ status: 200, body });
  };
}
