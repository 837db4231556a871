import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import Koa from 'koa';
import type { ClientMetadata } from 'oidc-provider';
import { PolicyBook } from '../../src/agents/policy_book.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { SafeFetch } from '../../src/kernel/safe_fetch.ts';
import { RemoteKeySets } from '../../src/keys/remote_key_sets.ts';
import type { ConsentView } from '../../src/model/consent_view.ts';
import { NO_FEDERATION } from '../../src/model/federation.ts';
import type { StepUpWaitingView } from '../../src/model/step_up_waiting_view.ts';
import { startSession } from '../../src/people/session.ts';
import { SESSION_COOKIE } from '../../src/people/session_cookie.ts';
import { loadPolicySet } from '../../src/policy/policy_set.ts';
import { readPolicyFolder } from '../../src/policy/read_folder.ts';
import type { Artifacts } from '../../src/provider/adapter.ts';
import { createOAuthProvider, type OAuthProvider, type ProviderOptions } from '../../src/provider/create_provider.ts';
import type { InteractionPages } from '../../src/provider/interactions/pages.ts';
import { createInteractionRoutes } from '../../src/provider/interactions/routes.ts';
import { pinHost } from '../../src/provider/pin_host.ts';
import { createMemoryArtifactStore } from '../../src/store/memory/artifacts.ts';
import { createPostgresArtifactStore } from '../../src/store/postgres/artifacts.ts';
import type { ToolSelection } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { createTestDatabase } from './database.ts';
import { loadProviderKeys } from './keys.ts';
import { OAuthBrowser } from './oauth_browser.ts';
import { createTestStore, type TestStoreChanges } from './test_store.ts';

export interface OAuthServerOptions {
  readonly clients?: readonly ClientMetadata[];
  readonly safeFetch?: SafeFetch;
  readonly config?: Partial<ProviderOptions['config']>;
  readonly path?: string;
  /** `https` for a server behind a proxy that ends TLS; it is still reached by plain HTTP here. */
  readonly scheme?: 'http' | 'https';
  readonly trustedProxies?: readonly string[];
  readonly rules?: TestStoreChanges['rules'];
  /** A folder; the policies that Countersign starts with if left out. */
  readonly policies?: string;
}

export interface OAuthServer {
  readonly store: Store;
  readonly oauth: OAuthProvider;
  readonly artifacts: Artifacts;
  readonly issuer: string;
  readonly port: number;
  close(): Promise<void>;
}

export const REDIRECT_URI = 'http://127.0.0.1:5555/callback';

/** An ordinary MCP client, known from the configuration. */
export function testClient(clientId: string, changes: Partial<ClientMetadata> = {}): ClientMetadata {
  return {
    client_id: clientId,
    client_name: `Client ${clientId}`,
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    ...changes,
  };
}

/** Pages as JSON, so that a test reads what a person would. */
export const jsonPages: InteractionPages = {
  consent: (view: ConsentView) => JSON.stringify({ page: 'consent', ...view }),
  stepUpWaiting: (view: StepUpWaitingView) => JSON.stringify({ page: 'waiting', ...view }),
  error: (refused) => JSON.stringify({ page: 'error', ...refused }),
  setHeaders: (ctx, targets) => ctx.set('Content-Security-Policy', ["form-action 'self'", ...targets].join(' ')),
};

/** The OAuth engine and its pages on a real Koa server, over a new database. */
export async function startOAuthServer(options: OAuthServerOptions = {}): Promise<OAuthServer> {
  const database = await createTestDatabase();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const issuer = `${options.scheme ?? 'http'}://127.0.0.1:${port}${options.path ?? ''}`;
  const store = createTestStore(database, { issuer, ...(options.rules && { rules: options.rules }) });
  const artifacts = { durable: createPostgresArtifactStore(store), ephemeral: createMemoryArtifactStore() };
  const safeFetch = options.safeFetch ?? (() => Promise.reject(new Error('no fetch in this test')));
  const oauth = createOAuthProvider({
    store,
    artifacts,
    book: await readPolicies(options.policies ?? 'config/policies'),
    ...(await loadProviderKeys(store)),
    config: {
      issuer,
      scopesSupported: ['mcp:tools'],
      cimd: { enabled: true, allowedDomains: [], allowedHosts: [] },
      dynamicRegistration: false,
      clients: options.clients ?? [testClient('cli')],
      federation: NO_FEDERATION,
      ...options.config,
    },
    safeFetch,
    keySets: new RemoteKeySets(safeFetch, store.log),
    pages: jsonPages,
  });
  const app = new Koa();
  app.use(pinHost(issuer, options.trustedProxies));
  app.use(oauth.middleware);
  app.use(createInteractionRoutes({ provider: oauth.provider, store, pages: jsonPages, purposeCodes: [] }).routes());
  app.use((ctx) => {
    if (ctx.path.startsWith('/step-ups/'))
      ctx.body = JSON.stringify({ page: 'step_up', returnTo: ctx.query.return_to });
    if (ctx.path === '/sign-in') ctx.body = JSON.stringify({ page: 'sign_in', returnTo: ctx.query.return_to });
  });
  server.on('request', app.callback());
  return {
    store,
    oauth,
    artifacts,
    issuer,
    port,
    close: async () => {
      await closeServer(server);
      await store.ephemeral.close();
      await database.drop();
    },
  };
}

async function readPolicies(folder: string): Promise<PolicyBook> {
  const files = await readPolicyFolder(folder);
  const set = files.ok ? loadPolicySet(files.value) : files;
  if (!set.ok) throw new Error(JSON.stringify(set.refusal));
  return new PolicyBook(set.value);
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

export async function addPerson(store: Store, name = 'Ada'): Promise<string> {
  const id = newId('prs');
  await store.db
    .insertInto('people')
    .values({ id, display_name: name, state: 'active', is_administrator: false, user_handle: Buffer.from(id) })
    .execute();
  return id;
}

export async function signedInBrowser(
  server: Pick<OAuthServer, 'store' | 'issuer'>,
  personId: string,
): Promise<OAuthBrowser> {
  const browser = new OAuthBrowser(new URL(server.issuer).origin);
  await signIn(server, browser, personId);
  return browser;
}

export async function signIn(
  server: Pick<OAuthServer, 'store' | 'issuer'>,
  browser: OAuthBrowser,
  personId: string,
): Promise<void> {
  const { cookieValue } = await transact(server.store, (tx, afterCommit) =>
    startSession(server.store, tx, afterCommit, { personId, amr: ['link'] }),
  );
  browser.setCookie(SESSION_COOKIE, cookieValue);
}

export interface TestKey {
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
  readonly thumbprint: string;
}

export async function newTestKey(): Promise<TestKey> {
  const pair = await generateKeyPair('ES256', { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  return { privateKey: pair.privateKey, publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk) };
}

export interface TestToolServer {
  readonly id: string;
  readonly clientId: string;
  readonly resource: string;
  readonly key: TestKey;
}

let toolServers = 0;

/** An accepted tool server with two accepted tools, and its guard's client. */
export async function addToolServer(
  store: Store,
  state: 'pending' | 'active' | 'suspended' | 'rejected' = 'active',
): Promise<TestToolServer> {
  toolServers += 1;
  const id = newId('tsv');
  const clientId = `guard-${id}`;
  const key = await newTestKey();
  const resource = `http://localhost:9401/mcp${toolServers}`;
  await store.db
    .insertInto('oauth_clients')
    .values({
      client_id: clientId,
      source: 'guard',
      metadata: JSON.stringify({ client_name: 'Guard', jwks: { keys: [key.publicJwk] } }),
    })
    .execute();
  await store.db
    .insertInto('tool_servers')
    .values({
      id,
      name: `Files ${toolServers}`,
      resource,
      state,
      deployment: '{}',
      client_id: clientId,
      registration_nonce: 'n',
      key_thumbprint: key.thumbprint,
      owner_id: null,
      accepted_at: new Date(),
    })
    .execute();
  for (const [name, risk] of [
    ['read_file', 'read'],
    ['write_file', 'write'],
  ] as const) {
    await store.db
      .insertInto('tools')
      .values({
        tool_server_id: id,
        name,
        state: 'accepted',
        definition: JSON.stringify({
          name,
          title: `Title of ${name}`,
          description: `What ${name} does`,
          inputSchema: {},
        }),
        digest: 'd',
        risk,
        proposed_definition: null,
        proposed_digest: null,
        proposed_risk: null,
      })
      .execute();
  }
  return { id, clientId, resource, key };
}

export interface TestAgent {
  readonly id: string;
  readonly clientId: string;
  readonly key: TestKey;
}

/** An active service agent with a key of its own. */
export async function addServiceAgent(store: Store, ownerId: string): Promise<TestAgent> {
  const id = newId('agt');
  const key = await newTestKey();
  await store.db
    .insertInto('oauth_clients')
    .values({
      client_id: id,
      source: 'agent',
      metadata: JSON.stringify({ client_name: 'Agent', jwks: { keys: [key.publicJwk] } }),
    })
    .execute();
  await store.db
    .insertInto('agents')
    .values({
      id,
      kind: 'service',
      client_id: id,
      person_id: null,
      owner_id: ownerId,
      name: 'Agent',
      purpose: 'tests',
      state: 'active',
      bound: null,
    })
    .execute();
  return { id, clientId: id, key };
}

export async function addTask(
  store: Store,
  task: {
    readonly agentId: string;
    readonly clientId: string;
    readonly requesterId: string;
    readonly tools: ToolSelection;
  },
): Promise<string> {
  const id = newId('tsk');
  await store.db
    .insertInto('tasks')
    .values({
      id,
      root_id: id,
      parent_id: null,
      requester_id: task.requesterId,
      agent_id: task.agentId,
      client_id: task.clientId,
      purpose: 'tests',
      purpose_code: 'general',
      tools: JSON.stringify(task.tools),
      state: 'active',
      oauth_grant_id: null,
      expires_at: new Date(Date.now() + 3_600_000),
      ended_at: null,
    })
    .execute();
  const delegationId = newId('dlg');
  await store.db
    .insertInto('delegations')
    .values({
      id: delegationId,
      task_id: id,
      parent_id: null,
      agent_id: task.agentId,
      depth: 0,
      agent_chain: [task.agentId],
      task_chain: [id],
      delegation_chain: [delegationId],
      revoked_at: null,
    })
    .execute();
  return id;
}
