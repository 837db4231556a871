import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ServiceAgent } from '../../src/agent/index.ts';
import { append } from '../../src/events/append.ts';
import { transact } from '../../src/store/transact.ts';
import { type NotesServer, startNotes } from './guarded_notes.ts';
import { startWorld, type World } from './world.ts';

const GUARDS = 8;
const PING = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let agent: ServiceAgent;
let servers: NotesServer[] = [];

beforeAll(async () => {
  world = await startWorld({ hasGateway: false });
  agent = await world.registerAgent();
  servers = await Promise.all(
    Array.from({ length: GUARDS }, (_, index) => startNotes(world, { name: `notes-${index}` })),
  );
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await world?.close();
});

interface Session {
  readonly taskId: string;
  readonly token: string;
  readonly server: NotesServer;
}

/** A task at each guard, whose token each has verified and remembers. */
async function sessions(): Promise<Session[]> {
  const all: Session[] = [];
  for (const server of servers) {
    const { resource } = server;
    const { taskId } = await agent.startTask({ resource, tools: ['read_notes'], purpose: 'Read the notes' });
    all.push({ server, taskId, token: await agent.authProvider(taskId, resource).token() });
  }
  expect(await Promise.all(all.map(ping))).toEqual(Array(GUARDS).fill(200));
  return all;
}

// Passed through without asking the server: only what the guard knows by its lease can refuse it.
const ping = async ({ server, token }: Session) => (await server.post(token, PING)).status;

test('a task that ends: its remembered token is refused at its guard, the others go on', async () => {
  const [ended, ...others] = await sessions();
  await agent.endTask(ended!.taskId);
  await vi.waitUntil(async () => (await ping(ended!)) === 401, { timeout: 10_000, interval: 5 });
  expect(await Promise.all(others.map(ping))).toEqual(Array(GUARDS - 1).fill(200));
});

test('an agent that is suspended: all eight guards refuse the tokens they remember', async () => {
  const all = await sessions();
  const { store } = world;
  await transact(store, async (tx, afterCommit) => {
    const { id } = await tx
      .updateTable('agents')
      .set({ state: 'suspended' })
      .where('kind', '=', 'service')
      .returning('id')
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, { kind: 'agent.suspended', ids: { agent: id } });
  });
  const committedAt = performance.now();
  await Promise.all(
    all.map((session) => vi.waitUntil(async () => (await ping(session)) === 401, { timeout: 10_000, interval: 2 })),
  );
  // Milliseconds in normal running; what matters here is that nobody waits for a poll of its own.
  expect(performance.now() - committedAt).toBeLessThan(4_000);
});
