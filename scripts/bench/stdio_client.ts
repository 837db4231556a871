import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface StdioClient {
  /** Resolves with the line of the answer. */
  request(method: string, params: object): Promise<string>;
  close(): void;
}

/** The least client of a stdio MCP server: initialize, then requests by id. */
export async function connectStdio([program = '', ...args]: readonly string[]): Promise<StdioClient> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const waiting = new Map<number, (line: string) => void>();
  let lastId = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id } = JSON.parse(line) as { id?: number };
    if (id === undefined) return;
    waiting.get(id)?.(line);
    waiting.delete(id);
  });
  const send = (message: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  const request = (method: string, params: object) =>
    new Promise<string>((resolve) => {
      lastId += 1;
      waiting.set(lastId, resolve);
      send({ id: lastId, method, params });
    });
  const clientInfo = { name: 'bench', version: '1.0.0' };
  await request('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo });
  send({ method: 'notifications/initialized' });
  return { request, close: () => child.kill('SIGTERM') };
}
