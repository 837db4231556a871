import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readStepUp } from '../../src/agent/index.ts';
import { FakeIssuer } from './fake_issuer.ts';
import { answerOf } from './guarded_server.ts';

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

test('examples/guarded_server.ts runs as it is, keeps its key to itself, and its risky tool waits for a person', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-example-'));
  const issuer = await FakeIssuer.start();
  issuer.gated.add('add_note');
  const port = await freePort();
  const keyFile = join(folder, 'key.json');
  const child = spawn(process.execPath, ['examples/guarded_server.ts'], {
    env: { ...process.env, ISSUER: issuer.url, PORT: String(port), KEY_FILE: keyFile },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    let printed = '';
    for await (const chunk of child.stdout) {
      printed += String(chunk);
      if (printed.includes('calls are decided now')) break;
    }
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
    const call = async (name: string, args: object) =>
      answerOf(
        await fetch(`http://localhost:${port}/mcp`, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            authorization: `Bearer ${await issuer.token()}`,
          },
          body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }),
        }),
      );
    expect((await call('list_notes', {})).result.content[0]!.text).toBe('There are no notes.');
    expect(readStepUp((await call('add_note', { text: 'milk' })).result)).toMatchObject({ kind: 'waiting' });
    issuer.decide(await issuer.nextOpen(), 'approved');
    expect((await call('add_note', { text: 'milk' })).result.content[0]!.text).toBe('Note 1 is added.');
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
    await issuer.close();
    await rm(folder, { recursive: true });
  }
});
