import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { A2A_EXTENSION_URI } from '../../../src/wire/a2a_extension.ts';
import { FakeIssuer } from '../fake_issuer.ts';

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

interface Answer {
  readonly result: { readonly task: { readonly id: string; readonly status: { readonly state: string } } };
}

test('examples/a2a_agent.ts runs as it is, and its skill waits for a person', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-example-'));
  const issuer = await FakeIssuer.start();
  issuer.gated.add('refund');
  const port = await freePort();
  const child = spawn(process.execPath, ['examples/a2a_agent.ts'], {
    env: { ...process.env, ISSUER: issuer.url, PORT: String(port), KEY_FILE: join(folder, 'key.json') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    let printed = '';
    for await (const chunk of child.stdout) {
      printed += String(chunk);
      if (printed.includes('messages are decided now')) break;
    }
    const ask = async (method: string, params: object): Promise<unknown> => {
      const headers = {
        'content-type': 'application/json',
        'a2a-version': '1.0',
        authorization: `Bearer ${await issuer.token()}`,
      };
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
      return (await fetch(`http://localhost:${port}/a2a`, { method: 'POST', headers, body })).json();
    };
    const metadata = { [A2A_EXTENSION_URI]: { skill: 'refund' } };
    const parts = [{ data: { order: '1182', amount: '240.00' } }];
    const message = { messageId: 'm-1', role: 'ROLE_USER', parts, metadata };
    const { task } = ((await ask('SendMessage', { message })) as Answer).result;
    expect(task.status.state).toBe('TASK_STATE_AUTH_REQUIRED');
    const stepUp = await issuer.nextOpen();
    expect(stepUp.arguments).toEqual({ input: { order: '1182', amount: '240.00' } });
    issuer.decide(stepUp, 'approved');
    const read = async () => JSON.stringify(await ask('GetTask', { id: task.id }));
    await expect.poll(read, { timeout: 10_000 }).toContain('Refunded 240.00 EUR to order 1182, as agt_one asked.');
    const undeclared = [{ data: { order: '1182', amount: '1.00', note: 'and more' } }];
    const refused = await ask('SendMessage', { message: { ...message, parts: undeclared } });
    expect(JSON.stringify(refused)).toContain('ARGUMENTS_UNDECLARED');
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
    await issuer.close();
    await rm(folder, { recursive: true });
  }
});
