import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { parseConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { type RunningServer, startServer } from '../../src/server/start.ts';
import type { World } from '../e2e/world.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

/** What the parts of a test that know one server ask of it. */
export type SharedWorld = Pick<World, 'issuer' | 'store' | 'operator' | 'operatorId'>;

/** Two servers in this process on one database; each connection to the issuer goes to the other one than the last. */
export interface TwoNodes {
  readonly nodes: readonly RunningServer[];
  readonly database: TestDatabase;
  readonly world: World;
  readonly rootKey: Buffer;
  close(): Promise<void>;
}

export async function startTwoNodes(config: Readonly<Record<string, unknown>> = {}): Promise<TwoNodes> {
  const folder = await makeScratchDirectory('two-nodes');
  const database = await createTestDatabase();
  const closing: (() => Promise<unknown>)[] = [() => database.drop()];
  const close = async () => {
    for (const end of closing.splice(0).reverse()) await end();
  };
  try {
    const rootKey = randomBytes(32);
    await writeFile(join(folder, 'root.key'), rootKey.toString('base64'), { mode: 0o600 });
    const issuerPort = await freePort();
    const nodes: RunningServer[] = [];
    for (const _ of [1, 2]) {
      const node = await startServer({
        config: configOf(issuerPort, folder, database, { 'listen.port': await freePort(), ...config }),
        log: silentLogger,
      });
      closing.push(() => node.stop());
      nodes.push(node);
    }
    closing.push(await spread(issuerPort, nodes));
    const [{ store, issuer }] = nodes as [RunningServer, RunningServer];
    const link = { kind: 'set_up', isAdministrator: true, createdBy: null, ttlSeconds: 60 } as const;
    const operator = new ScriptedPerson(issuer);
    const welcome = await operator.open(`${issuer}/link/${(await makeLink(store, link)).token}`);
    await operator.submit(welcome, { action: /\/link\// }, { display_name: 'Olga' });
    const { id: operatorId } = await store.db.selectFrom('people').select('id').executeTakeFirstOrThrow();
    const world: SharedWorld = { issuer, store, operator, operatorId };
    return { nodes, database, world: world as World, rootKey, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function configOf(
  issuerPort: number,
  folder: string,
  { connection }: TestDatabase,
  more: Readonly<Record<string, unknown>>,
) {
  const { user, password, database, port, socketDirectory } = connection;
  const parsed = parseConfig({
    overrides: {
      issuer: `http://localhost:${issuerPort}`,
      mode: 'single_operator',
      root_key_file: join(folder, 'root.key'),
      'database.url': `postgres://${user}:${password}@/${database}?host=${encodeURIComponent(socketDirectory)}&port=${port}`,
      'database.durability': 'assumed',
      fetch_allowed_hosts: ['localhost:*', '127.0.0.1:*'],
      'step_ups.per_agent_per_minute': 200,
      ...more,
    },
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusal));
  return parsed.value;
}

/** A load balancer without any wits. Resolves with how to close it. */
async function spread(port: number, nodes: readonly RunningServer[]): Promise<() => Promise<void>> {
  let next = 0;
  const sockets = new Set<{ destroy(): unknown }>();
  const server = createServer((client) => {
    const target = connect(nodes[next++ % nodes.length]!.port, '127.0.0.1');
    sockets.add(client).add(target);
    client.on('error', () => target.destroy()).on('close', () => target.destroy());
    target.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.pipe(target).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(port, resolve));
  return async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
}
