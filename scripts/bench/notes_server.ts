import { McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

export const READ_TOOL = 'read_note';
export const WRITE_TOOL = 'write_note';
/** In every answer of a tool that ran. */
export const RAN = 'the note of today';

/** The tool server that is measured bare, behind the guard and behind the gateway: its tools do nothing that takes time. */
export function notesServer(): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  const inputSchema = z.object({ path: z.string(), text: z.string().optional() });
  const answer = () => ({ content: [{ type: 'text' as const, text: RAN }] });
  server.registerTool(READ_TOOL, { description: 'Reads a note', inputSchema }, answer);
  server.registerTool(WRITE_TOOL, { description: 'Writes a note', inputSchema }, answer);
  return server;
}
