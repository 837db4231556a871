import { parseArgs } from 'node:util';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler } from '@modelcontextprotocol/server';
import { createGuard, generateGuardKey, type RegistrationAnswer } from '../../src/guard/index.ts';
import { notesServer, READ_TOOL, WRITE_TOOL } from './notes_server.ts';
import { serve } from './serve.ts';

/** The measured tool server as a process: bare, or with the guard of `--issuer` before it. */
export interface ToolServerReady {
  readonly resource: string;
  /** Where the operator accepts it; null for a bare one. */
  readonly console_url: string | null;
}

const { values } = parseArgs({ options: { port: { type: 'string' }, issuer: { type: 'string' } } });
const port = Number(values.port);
const resource = `http://localhost:${port}/mcp`;
const handler = createMcpHandler(notesServer);

if (values.issuer === undefined) {
  const ready: ToolServerReady = { resource, console_url: null };
  const listener = toNodeHandler(handler);
  await serve(port, (request, response) => void listener(request as never, response), {
    ready: async () => ready,
    close: async () => {},
  });
} else {
  const registered = Promise.withResolvers<RegistrationAnswer>();
  const guard = await createGuard({
    issuer: values.issuer,
    resource,
    key: await generateGuardKey(),
    name: 'guarded-notes',
    proposedRisks: { [READ_TOOL]: 'read', [WRITE_TOOL]: 'write' },
    onRegistration: registered.resolve,
  });
  const listener = toNodeHandler(guard.protect(handler));
  await serve(port, (request, response) => void listener(request as never, response), {
    ready: async (): Promise<ToolServerReady> => ({ resource, console_url: (await registered.promise).console_url }),
    close: () => guard.close(),
  });
}
