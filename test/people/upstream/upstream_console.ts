import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { createConsole } from '../../../src/console/console.ts';
import { createSafeFetch } from '../../../src/kernel/safe_fetch.ts';
import type { SignedIn } from '../../../src/model/person.ts';
import { findSession } from '../../../src/people/session.ts';
import { SESSION_COOKIE } from '../../../src/people/session_cookie.ts';
import { bySecret, createUpstreamClient } from '../../../src/people/upstream/client.ts';
import { createUpstreamProviders } from '../../../src/people/upstream/providers.ts';
import { type UpstreamSettings, upstreamSchema } from '../../../src/people/upstream/settings_schema.ts';
import type { Store } from '../../../src/store/store.ts';
import { createTestDatabase } from '../../support/database.ts';
import { OAuthBrowser } from '../../support/oauth_browser.ts';
import { createTestStore } from '../../support/test_store.ts';
import { UPSTREAM_CLIENT_ID, UPSTREAM_SECRET } from '../../support/upstream_provider.ts';

export interface Landed {
  readonly status: number;
  readonly location: string | null;
  readonly text: string;
  /** Who is signed in with the session that the answer set; null if it set none. */
  readonly signedIn: SignedIn | null;
}

/** The console with identity providers, over real HTTP and a real database, and browsers that go there and back. */
export interface UpstreamConsole {
  readonly origin: string;
  readonly store: Store;
  /** Puts these providers in the place of those before. */
  use(
    providers: readonly (Partial<UpstreamSettings> & { id: string; issuer: string })[],
    hosts: readonly string[],
  ): void;
  callback(id: string): string;
  newBrowser(): OAuthBrowser;
  /** Goes to the provider and lets it sign in whoever is next; the address that it sends the browser back to. */
  goThere(browser: OAuthBrowser, id: string, query?: string): Promise<URL>;
  comeBack(browser: OAuthBrowser, answer: URL | string): Promise<Landed>;
  signIn(id: string, query?: string): Promise<Landed>;
  close(): Promise<void>;
}

export async function serveUpstreamConsole(): Promise<UpstreamConsole> {
  const database = await createTestDatabase();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const store = createTestStore(database, { issuer: origin });
  let handle = consoleOf(store, origin, [], []);
  server.on('request', (request, response) => handle(request, response));
  const newBrowser = () => new OAuthBrowser(origin);
  const goThere: UpstreamConsole['goThere'] = async (browser, id, query = '') => {
    const begun = await browser.get(`/sign-in/with/${id}${query}`);
    const there = new URL(begun.headers.get('location') ?? 'about:nowhere');
    const abroad = new OAuthBrowser(there.origin);
    const { left } = await abroad.follow(await abroad.get(there.href));
    if (left === null) throw new Error('The provider did not send the browser back.');
    return left;
  };
  const comeBack: UpstreamConsole['comeBack'] = async (browser, answer) => {
    const response = await browser.get(String(answer), { accept: 'text/html' });
    const set = response.headers.getSetCookie().find((cookie) => cookie.startsWith(`${SESSION_COOKIE}=`));
    const value = set?.slice(SESSION_COOKIE.length + 1).split(';')[0];
    return {
      status: response.status,
      location: response.headers.get('location'),
      text: await response.text(),
      signedIn: await findSession(store, value),
    };
  };
  return {
    origin,
    store,
    use: (providers, hosts) => {
      handle = consoleOf(store, origin, providers, hosts);
    },
    callback: (id) => `${origin}/sign-in/callback/${id}`,
    newBrowser,
    goThere,
    comeBack,
    signIn: async (id, query) => {
      const browser = newBrowser();
      return comeBack(browser, await goThere(browser, id, query));
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await store.ephemeral.close();
      await database.drop();
    },
  };
}

function consoleOf(
  store: Store,
  origin: string,
  providers: readonly (Partial<UpstreamSettings> & { id: string; issuer: string })[],
  allowedHosts: readonly string[],
) {
  const fetch = createSafeFetch({ allowedHosts, timeoutMs: 5_000 });
  const clients = providers.map((provider) => {
    const settings = upstreamSchema.parse({
      name: `Provider ${provider.id}`,
      client_id: UPSTREAM_CLIENT_ID,
      client_secret_file: 'unused',
      ...provider,
    });
    return createUpstreamClient(settings, bySecret(UPSTREAM_SECRET), fetch);
  });
  const router = createConsole({
    store,
    rp: { id: 'localhost', origin, name: 'Countersign' },
    fetch,
    upstream: createUpstreamProviders(clients, store.log),
    draining: new AbortController().signal,
  });
  return new Koa().use(router.routes()).callback();
}
