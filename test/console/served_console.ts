import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Koa from 'koa';
import type { Page } from 'playwright-core';
import { createConsole } from '../../src/console/console.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import type { WorkloadIssuer } from '../../src/model/federation.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { startSession } from '../../src/people/session.ts';
import { SESSION_COOKIE } from '../../src/people/session_cookie.ts';
import { createUpstreamProviders } from '../../src/people/upstream/providers.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { createTestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { createTestStore, type TestStoreChanges } from '../support/test_store.ts';

/** The console over real HTTP and a real database, with the people and the agent of a scenario. */
export interface ServedConsole {
  readonly origin: string;
  readonly store: Store;
  readonly scenario: Scenario;
  /** Signs a person in and returns the value of the Cookie header. */
  signIn(person: SignedIn): Promise<string>;
  /** Signs a person in, in this browser profile, by a link as an administrator makes it. */
  signInBrowser(page: Page, person: SignedIn): Promise<void>;
  get(path: string, cookie?: string): Promise<Response>;
  /** Posts a form as a browser does from a page of ours; `headers` may say otherwise. */
  post(
    path: string,
    cookie: string,
    fields: Record<string, string>,
    headers?: Record<string, string>,
  ): Promise<Response>;
  close(): Promise<void>;
}

/** The platform that the console trusts, unless it is told otherwise. */
export const PLATFORM: WorkloadIssuer = {
  kind: 'oidc',
  issuer: 'https://token.actions.githubusercontent.com',
  jwksUri: null,
  format: 'jwks',
  audience: 'countersign',
  uses: 'once',
  secondsMax: 3_600,
};

export async function serveConsole(
  changes: TestStoreChanges = {},
  platforms: readonly WorkloadIssuer[] = [PLATFORM],
): Promise<ServedConsole> {
  const database = await createTestDatabase();
  const app = new Koa();
  const server = createServer();
  await listen(server);
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const store = createTestStore(database, { ...changes, issuer: origin });
  const rp = { id: 'localhost', origin, name: 'Countersign' };
  const router = createConsole({
    store,
    rp,
    fetch: createSafeFetch(),
    upstream: createUpstreamProviders([], store.log),
    draining: new AbortController().signal,
    platforms,
  });
  app.use(router.routes()).use(router.allowedMethods());
  server.on('request', app.callback());
  const scenario = await Scenario.create(store, await policiesWithTwoApprovers());

  const cookieValueOf = async (signedIn: SignedIn) => {
    const personId = signedIn.person.id;
    const session = await transact(store, (tx, after) => startSession(store, tx, after, { personId, amr: ['link'] }));
    return session.cookieValue;
  };
  return {
    origin,
    store,
    scenario,
    signIn: async (person) => `${SESSION_COOKIE}=${await cookieValueOf(person)}`,
    signInBrowser: async (page, { person }) => {
      const link = { kind: 'sign_in', personId: person.id, isAdministrator: false, createdBy: null } as const;
      const { token } = await makeLink(store, { ...link, ttlSeconds: 60 });
      await page.goto(`${origin}/link/${token}`);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.waitForURL((url) => !url.pathname.startsWith('/link/'));
    },
    get: (path, cookie) =>
      fetch(`${origin}${path}`, {
        redirect: 'manual',
        headers: { accept: 'text/html', ...(cookie === undefined ? {} : { cookie }) },
      }),
    post: (path, cookie, fields, headers = { origin }) =>
      fetch(`${origin}${path}`, {
        method: 'POST',
        redirect: 'manual',
        headers: { accept: 'text/html', cookie, ...headers },
        body: new URLSearchParams(fields),
      }),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await store.ephemeral.close();
      await database.drop();
    },
  };
}

/** The default policies, except that an administrator may approve writes too: without a passkey, unlike the requester. */
async function policiesWithTwoApprovers(): Promise<string> {
  const text = await readFile('config/policies/default.cedar', 'utf8');
  const folder = await makeScratchDirectory('policies');
  await writeFile(
    join(folder, 'default.cedar'),
    text.replace('@approvers("requester")', '@approvers("requester, administrators")'),
  );
  return folder;
}

export function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
}

/** The hidden fields of the form on `page` that carries `decision`. */
export function hiddenFields(page: string, decision: 'approve' | 'deny'): Record<string, string> {
  const form = page.split('<form ').find((part) => part.includes(`name="decision" value="${decision}"`));
  if (form === undefined) throw new Error(`the page has no form to ${decision}`);
  const fields = [...form.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)];
  return Object.fromEntries(fields.map(([, name, value]) => [name!, value!]));
}
