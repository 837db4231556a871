import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { Part } from '../../examples/demo/parts.ts';
import { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { acceptToolServer, type GatewayReady, registerAgent, startGateway } from '../../examples/demo/set_up.ts';
import { createServiceAgent, generateAgentKey, type ServiceAgent } from '../../src/agent/index.ts';
import { createAgent } from '../../src/agents/registry.ts';
import { freePort } from '../../src/cli/dev.ts';
import { parseConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { type RunningServer, startServer } from '../../src/server/start.ts';
import type { Store } from '../../src/store/store.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

export interface WorldOptions {
  readonly mode?: 'standard' | 'single_operator';
  /** Client ids of public clients that are registered in the configuration, with any port on loopback. */
  readonly clients?: readonly string[];
  /** More configuration, in dotted keys. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Starts the gateway before the filesystem server; without it the test brings a tool server of its own. */
  readonly hasGateway?: boolean;
  /** Uses the set-up link and becomes the administrator "Olga"; by HTTP if left out. */
  readonly setUp?: (link: string) => Promise<void>;
}

/** A whole installation: our server in this process, the gateway as a command, a filesystem server that nobody changed. */
export interface World {
  readonly server: RunningServer;
  readonly store: Store;
  readonly issuer: string;
  /** The administrator, over HTTP without a browser. */
  readonly operator: ScriptedPerson;
  readonly operatorId: string;
  /** Where the tools are; empty without the gateway. */
  readonly resource: string;
  readonly folder: string;
  file(name: string): string;
  textOf(name: string): Promise<string | null>;
  registerAgent(): Promise<ServiceAgent>;
  /** A link that signs a person in once. */
  signInLink(personId?: string): Promise<string>;
  signIn(page: Page, personId?: string): Promise<void>;
  close(): Promise<void>;
}

// Tests ask for more approvals in a minute than one agent may; the limit has tests of its own.
const MANY_STEP_UPS = { 'step_ups.per_agent_per_minute': 200, 'step_ups.open_per_agent': 200 };

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const root = await makeScratchDirectory('world');
  const folder = join(root, 'notes');
  await mkdir(folder);
  await writeFile(join(folder, 'shopping.md'), 'Milk\n');
  const server = await startServer({ config: await worldConfig(root, options), log: silentLogger });
  const closing: (() => Promise<unknown>)[] = [() => server.stop()];
  const close = async () => {
    for (const end of closing.splice(0).reverse()) await end();
  };
  try {
    const { store, issuer } = server;
    const { operator, operatorId } = await becomeAdministrator(store, issuer, options);
    const gateway = options.hasGateway === false ? null : await startGateway(issuer, root, folder);
    if (gateway !== null) await guardFiles(gateway, operator, closing);
    return {
      server,
      store,
      issuer,
      operator,
      operatorId,
      resource: gateway?.ready.resource ?? '',
      folder,
      file: (name) => join(folder, name),
      textOf: (name) => readFile(join(folder, name), 'utf8').catch(() => null),
      registerAgent: () =>
        store.rules.singleOperator ? registerAgent(operator, issuer) : insertAgent(store, operatorId),
      signInLink: (personId = operatorId) => signInLink(store, issuer, personId),
      signIn: async (page, personId = operatorId) => {
        await page.goto(await signInLink(store, issuer, personId));
        await page.getByRole('button', { name: 'Sign in' }).click();
        await page.waitForURL((url) => !url.pathname.startsWith('/link/'));
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function worldConfig(root: string, { mode = 'single_operator', clients = [], config = {} }: WorldOptions) {
  const port = await freePort();
  const parsed = parseConfig({
    overrides: {
      issuer: `http://localhost:${port}`,
      'listen.port': port,
      mode,
      data_directory: join(root, 'data'),
      fetch_allowed_hosts: ['localhost:*', '127.0.0.1:*'],
      clients: clients.map((id) => ({
        client_id: id,
        client_name: `Editor ${id}`,
        redirect_uris: ['http://127.0.0.1/callback'],
      })),
      ...MANY_STEP_UPS,
      ...config,
    },
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusal));
  return parsed.value;
}

async function becomeAdministrator(store: Store, issuer: string, { setUp }: WorldOptions) {
  const kind = { kind: 'set_up', isAdministrator: true, createdBy: null, ttlSeconds: 60 } as const;
  const link = `${issuer}/link/${(await makeLink(store, kind)).token}`;
  const operator = new ScriptedPerson(issuer);
  const follow = async (address: string) =>
    operator.submit(await operator.open(address), { action: /\/link\// }, { display_name: 'Olga' });
  await (setUp === undefined ? follow(link) : setUp(link));
  const { id } = await store.db.selectFrom('people').select('id').executeTakeFirstOrThrow();
  if (setUp !== undefined) await follow(await signInLink(store, issuer, id));
  return { operator, operatorId: id };
}

async function guardFiles(
  gateway: Part<GatewayReady>,
  operator: ScriptedPerson,
  closing: (() => Promise<unknown>)[],
): Promise<void> {
  closing.push(() => gateway.stop());
  await acceptToolServer(operator, gateway.ready);
}

/** Elsewhere a second administrator approves what the first proposes; that has tests of its own. */
async function insertAgent(store: Store, by: string): Promise<ServiceAgent> {
  const { key, publicJwk } = await generateAgentKey();
  const said = { name: 'Notes agent', purpose: 'Keeps notes tidy', bound: null };
  const made = await createAgent(store, { ...said, ownerId: by, by, keys: [publicJwk] });
  if (!made.ok) throw new Error(made.refusal.message);
  return createServiceAgent({ issuer: store.issuer, clientId: made.value.client_id, key });
}

async function signInLink(store: Store, issuer: string, personId: string): Promise<string> {
  const link = { kind: 'sign_in', personId, isAdministrator: false, createdBy: null, ttlSeconds: 60 } as const;
  return `${issuer}/link/${(await makeLink(store, link)).token}`;
}
