import { afterEach, expect, test } from 'vitest';
import { createGuard, generateGuardKey, type RegistrationAnswer } from '../../src/guard/index.ts';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

let server: GuardedServer;
afterEach(() => server.close());

test('a guard registers itself, proves its address while it waits, refuses calls, and goes on when accepted', async () => {
  const told: RegistrationAnswer[] = [];
  server = await startGuardedServer({
    isPending: true,
    guard: { name: 'notes', proposedRisks: { read_notes: 'read' }, onRegistration: (answer) => told.push(answer) },
  });
  await waitFor(() => told.length === 1);
  const asked = server.issuer.asked.find((one) => one.what === 'registrations')!.body;
  expect(asked).toMatchObject({ name: 'notes', resource: server.resource, proposed_risks: { read_notes: 'read' } });
  expect((asked.tools as { name: string }[]).map((tool) => tool.name)).toEqual([
    'read_notes',
    'hidden_tool',
    'write_note',
  ]);
  expect(JSON.stringify(asked.jwk)).not.toContain('"d"');
  expect(server.guard.metadata().countersign_registration).toBe('nonce-one');
  for (const call of [server.call('read_notes', {}), server.call('write_note', { text: 'x' })]) {
    expect((await answerOf(await call)).error?.data?.error).toBe('tool_server_inactive');
  }
  expect(server.issuer.count('evaluate')).toBe(0);
  server.issuer.registrationState = 'active';
  await server.guard.ready();
  expect(server.guard.metadata().countersign_registration).toBeUndefined();
  expect(told.map((answer) => answer.state)).toEqual(['pending', 'active']);
  expect((await answerOf(await server.call('read_notes', {}))).result.content[0]!.text).toBe('no notes yet');
});

test('options that cannot work are refused with what to write instead', async () => {
  server = await startGuardedServer();
  const key = await generateGuardKey();
  const { d: _private, ...publicOnly } = key;
  const good = { issuer: 'http://localhost:9400', resource: 'http://localhost:3000/mcp', key };
  await expect(createGuard({ ...good, issuer: 'http://localhost:9400/' })).rejects.toThrow('without the slash');
  await expect(createGuard({ ...good, resource: 'http://LOCALHOST:3000/mcp' })).rejects.toThrow(
    'http://localhost:3000/mcp',
  );
  await expect(createGuard({ ...good, resource: 'localhost/mcp' })).rejects.toThrow('http(s) address');
  await expect(createGuard({ ...good, name: 'My Server' })).rejects.toThrow('a-z');
  await expect(createGuard({ ...good, key: publicOnly as never })).rejects.toThrow('private P-256 key');
});

async function waitFor(condition: () => boolean): Promise<void> {
  const until = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > until) throw new Error('It did not happen.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
