// A small MCP server of SDK v2, protected in one line. Start a Countersign server first (npm start), then:
//   node examples/guarded_server.ts
// and accept the registration at the address it prints. In a project of your own, import from 'countersign/guard'.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { type GuardKey, generateGuardKey, protect } from '../src/guard/index.ts';

const { ISSUER = 'http://localhost:9400', PORT = '9500', KEY_FILE = 'guard-key.json' } = process.env;
const notes: string[] = [];

function notesServer(): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  server.registerTool('list_notes', { description: 'Lists all notes', inputSchema: z.object({}) }, () => ({
    content: [{ type: 'text', text: notes.join('\n') || 'There are no notes.' }],
  }));
  server.registerTool(
    'add_note',
    { description: 'Adds a note that everybody sees', inputSchema: z.object({ text: z.string().max(1000) }) },
    ({ text }) => {
      notes.push(text);
      return { content: [{ type: 'text', text: `Note ${notes.length} is added.` }] };
    },
  );
  return server;
}

const key = await readOrMakeKey(KEY_FILE);
const resource = `http://localhost:${PORT}/mcp`;
const proposedRisks = { list_notes: 'read', add_note: 'write' } as const;

const handler = protect(createMcpHandler(notesServer), { issuer: ISSUER, resource, key, name: 'notes', proposedRisks });

const server = createServer().on('request', toNodeHandler(handler));
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`The guarded notes server listens at ${resource}. Accept it at ${ISSUER}/tool-servers`);
});
handler.ready().then(
  () => console.log('The registration is accepted: calls are decided now.'),
  () => {},
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await handler.close();
  });
}

async function readOrMakeKey(file: string): Promise<GuardKey> {
  // The key is the identity of this guard: a new one would be a new registration.
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as GuardKey;
  const made = await generateGuardKey();
  writeFileSync(file, JSON.stringify(made), { mode: 0o600, flag: 'wx' });
  return made;
}
