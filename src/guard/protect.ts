import { createGuard } from './create_guard.ts';
import type { Guard, GuardOptions, McpFetch, McpHandler, ProtectedHandler } from './options.ts';

/**
 * Protects an MCP server of SDK v2 in one line: what it gives back goes where the handler went.
 *
 * Every tool call is decided by the Countersign server; a risky one waits until a person approved exactly its arguments.
 * Without a reachable server nothing runs. On first start the guard asks to be registered: an administrator accepts it
 * at the address that `onRegistration` and the log name.
 *
 * @param handler - what `createMcpHandler` of `@modelcontextprotocol/server` returns, or its `fetch`
 * @param options - see {@link GuardOptions}; `issuer`, `resource` and `key` are required
 * @throws TypeError, from the first request and from `ready()`, for options that cannot work
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
 * import { protect } from 'countersign/guard';
 *
 * const factory = () => new McpServer({ name: 'notes', version: '1.0.0' });
 * const key = JSON.parse(readFileSync('guard-key.json', 'utf8'));
 *
 * export default protect(createMcpHandler(factory), { issuer: 'http://localhost:9400', resource: 'http://localhost:3000/mcp', key });
 * ```
 */
export function protect(handler: McpHandler | McpFetch, options: GuardOptions): ProtectedHandler {
  const started: Promise<{ guard: Guard; protectedHandler: ProtectedHandler }> = createGuard(options).then((guard) => ({
    guard,
    protectedHandler: guard.protect(handler),
  }));
  // Reported by whoever uses it first; without a user it must not end the process.
  started.catch(() => {});
  return {
    fetch: async (request, fetchOptions) => (await started).protectedHandler.fetch(request, fetchOptions),
    ready: async () => (await started).guard.ready(),
    close: async () => (await started).guard.close(),
  };
}
