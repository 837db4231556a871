import { authenticator } from './authenticate.ts';
import { buildParts, checkOptions, closeParts, type Parts, startParts } from './guard_parts.ts';
import { type Handling, handle } from './handle.ts';
import { learnTools } from './learn_tools.ts';
import type { Guard, GuardOptions, McpFetch, McpHandler, ProtectedHandler } from './options.ts';

/**
 * Creates the guard of one MCP server. It registers itself at the issuer, serves the protected-resource metadata
 * (RFC 9728), verifies access tokens (RFC 9068, RFC 9449), asks the issuer what each call may do, pauses what needs a
 * person's approval, and runs it only after redeeming that approval, at most once.
 *
 * Async because keys are imported. It throws TypeError for options that cannot work; what goes wrong later is logged,
 * tried again, and refuses calls meanwhile.
 *
 * @example
 * ```ts
 * import { createGuard, generateGuardKey } from 'countersign/guard';
 * import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
 *
 * const guard = await createGuard({
 *   issuer: 'http://localhost:9400',
 *   resource: 'http://localhost:3000/mcp',
 *   key: await generateGuardKey(), // keep it: a new key is a new registration
 * });
 * const handler = guard.protect(createMcpHandler(() => new McpServer({ name: 'notes', version: '1.0.0' })));
 * await guard.ready();
 * ```
 */
export async function createGuard(options: GuardOptions): Promise<Guard> {
  checkOptions(options);
  const parts = await buildParts(options);
  let upkeep: Promise<void> | undefined;
  const guard: Guard = {
    protect(handler) {
      if (upkeep !== undefined) throw new TypeError('This guard protects a handler already. Create another guard.');
      const inner = typeof handler === 'function' ? handler : (handler as McpHandler).fetch;
      const started = start(options, parts, inner);
      upkeep = started.ready;
      return protectedHandler(parts, started.handling, guard);
    },
    metadata: () => parts.published.document(),
    ready: () => upkeep ?? Promise.reject(new TypeError('The guard protects nothing yet: call protect() first.')),
    toolsChanged: () => parts.rounds.wake(),
    close: () => closeParts(parts),
  };
  return guard;
}

function start(options: GuardOptions, parts: Parts, inner: McpFetch): { handling: Handling; ready: Promise<void> } {
  const { resource, facts } = options;
  const listTools = options.tools ?? (() => learnTools(inner, resource));
  const { context, ready } = startParts(options, parts, { inner, listTools, facts });
  const { origin, host } = new URL(resource);
  const handling: Handling = {
    context,
    registration: parts.registration,
    authenticate: authenticator(resource, parts.verifyToken, parts.nonces),
    hosts: new Set([host, ...(options.allowedHosts ?? [])]),
    origins: new Set([origin, ...(options.allowedOrigins ?? [])]),
    areListsOpen: options.listResourcesAndPrompts ?? false,
  };
  return { handling, ready };
}

function protectedHandler(parts: Parts, handling: Handling, guard: Guard): ProtectedHandler {
  return {
    async fetch(request) {
      const metadata = parts.published.serve(request);
      if (metadata !== null) return metadata;
      try {
        return await handle(handling, request);
      } catch (error) {
        // An aborted request has nobody to answer.
        if (request.signal.aborted) return new Response(null, { status: 499 });
        parts.log.error({ error }, 'a request failed in the guard; nothing was run by it');
        const failure = { code: -32603, message: 'The guard of this tool server failed. Nothing was run.' };
        return Response.json({ jsonrpc: '2.0', id: null, error: failure }, { status: 500 });
      }
    },
    ready: guard.ready,
    close: guard.close,
  };
}
