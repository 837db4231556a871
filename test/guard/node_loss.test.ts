import { afterEach, expect, test, vi } from 'vitest';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

let server: GuardedServer;
afterEach(() => server.close());

const held = (text: string) => server.call('write_note', { text }, { meta: { progressToken: 'p' } });
const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 10_000, interval: 10 });
const waits = () => server.issuer.asked.filter(({ what }) => what.endsWith('/wait')).length;

test('a held call goes on when the process that it waits at dies, and runs once', async () => {
  server = await startGuardedServer();
  const { issuer } = server;
  const answer = held('survives').then(answerOf);
  const stepUp = await issuer.nextOpen();
  await until(() => waits() === 1);
  issuer.dropConnections();
  await until(() => waits() === 2);
  issuer.decide(stepUp, 'approved');
  expect((await answer).result.content[0]!.text).toBe('wrote survives');
  expect(server.runs).toHaveLength(1);
});

test('decided while no process could be asked: the held call goes on with the first that can', async () => {
  server = await startGuardedServer();
  const { issuer } = server;
  const answer = held('decided meanwhile').then(answerOf);
  const stepUp = await issuer.nextOpen();
  await until(() => waits() === 1);
  issuer.failing.add('/wait');
  issuer.dropConnections();
  issuer.decide(stepUp, 'approved');
  setTimeout(() => issuer.failing.clear(), 300);
  expect((await answer).result.content[0]!.text).toBe('wrote decided meanwhile');
  expect(server.runs).toHaveLength(1);
});

test('leases are had again from another process within seconds, and calls go on meanwhile', async () => {
  server = await startGuardedServer();
  const { issuer } = server;
  await until(() => issuer.leases.asked.at(-1)?.seconds === 5);
  const asked = issuer.leases.asked.length;
  issuer.dropConnections();
  await until(() => issuer.leases.asked.length > asked);
  const cursor = issuer.leases.asked.at(-1)!.cursor;
  expect(cursor, 'it goes on from where it was').toEqual({ epoch: 'epoch-one', position: 0 });
  expect((await answerOf(await server.call('read_notes', {}))).result.content[0]!.text).toBe('no notes yet');
});
