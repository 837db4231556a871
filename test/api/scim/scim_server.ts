import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import Koa from 'koa';
import { addScimRoutes } from '../../../src/api/scim/scim_routes.ts';
import type { ApiTokenScope } from '../../../src/model/api_token.ts';
import { makeApiToken } from '../../../src/people/api_tokens.ts';
import { isOutage } from '../../../src/store/outage.ts';
import type { Store } from '../../../src/store/store.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createTestStore } from '../../support/test_store.ts';

export interface ScimAnswer {
  readonly status: number;
  readonly type: string | null;
  readonly headers: Headers;
  // What a directory reads is checked by the tests themselves.
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
  readonly body: any;
}

/** The SCIM routes over real HTTP and a real database, and a client with a token. */
export interface ScimServer {
  readonly store: Store;
  readonly base: string;
  readonly tokenId: string;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ScimAnswer>;
  makeToken(scopes: readonly ApiTokenScope[]): Promise<string>;
  close(): Promise<void>;
}

export async function startScimServer(): Promise<ScimServer> {
  const database = await createTestDatabase();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const store = createTestStore(database, { issuer });
  const router = new Router();
  addScimRoutes(router, store);
  const app = new Koa().use(async (ctx, next) => {
    // As the server does: who waited too long for a lock is to ask again.
    await next().catch((error: unknown) => {
      if (!isOutage(error)) throw error;
      ctx.status = 503;
    });
  });
  server.on('request', app.use(router.routes()).callback());
  const make = async (scopes: readonly ApiTokenScope[]) => {
    const made = await makeApiToken(store, {
      name: 'Directory',
      scopes,
      seconds: 3_600,
      by: { kind: 'server', id: 'server' },
    });
    if (!made.ok) throw new Error(made.refusal.message);
    return made.value;
  };
  const { id: tokenId, token } = await make(['scim']);
  const base = `${issuer}/scim/v2`;
  return {
    store,
    base,
    tokenId,
    makeToken: async (scopes) => (await make(scopes)).token,
    call: async (method, path, body, headers = {}) => {
      const init = {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      };
      let response = await fetch(`${base}${path}`, init);
      while (response.status === 503) response = await fetch(`${base}${path}`, init);
      const text = await response.text();
      return {
        status: response.status,
        type: response.headers.get('content-type'),
        headers: response.headers,
        body: text === '' ? null : JSON.parse(text),
      };
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await store.ephemeral.close();
      await database.drop();
    },
  };
}

export const PATCH_SCHEMA = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

export function patch(...operations: readonly object[]): object {
  return { schemas: [PATCH_SCHEMA], Operations: operations };
}
