import {
  type AuthInfo,
  createMcpHandler,
  type Implementation,
  type McpRequestContext,
  Server,
} from '@modelcontextprotocol/server';
import type { McpFetch } from '../guard/options.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import { errorResponse } from './error_response.ts';
import { servedCapabilities, treatmentOf } from './methods.ts';
import { principalOf } from './principal.ts';
import { type RelayOptions, relay } from './relay.ts';
import type { InitializeResult } from './upstream/connection.ts';
import { isObject } from './upstream/json_rpc_peer.ts';
import { UpstreamError } from './upstream/upstream_error.ts';

export interface HandlerOptions extends RelayOptions {
  readonly describe: () => Promise<InitializeResult>;
  readonly log: Logger;
}

export interface Handler {
  readonly fetch: McpFetch;
  /** After the upstreams are closed: a server that ends before its calls fail leaves their clients waiting. */
  close(): Promise<void>;
}

/**
 * Serves both eras of MCP before the upstreams. It gets only what the guard let through, already parsed, with the principal
 * in `authInfo.extra.countersign`; without either it runs nothing.
 */
export function createHandler(options: HandlerOptions): Handler {
  const served = createMcpHandler((context) => serverFor(context, options), {
    legacy: 'stateless',
    onerror: (error) => options.log.debug({ error: error.message }, 'The MCP handler refused or failed a request.'),
  });
  const fetch: McpFetch = async (request, { parsedBody, authInfo } = {}) => {
    if (request.method !== 'POST') return served.fetch(request);
    const answered = await answerAtEdge(parsedBody, authInfo, options);
    return answered ?? served.fetch(request, { parsedBody, ...(authInfo === undefined ? {} : { authInfo }) });
  };
  return { fetch, close: () => served.close() };
}

/** What never reaches the SDK's dispatch: it would answer some methods itself, without asking anyone. */
async function answerAtEdge(
  body: unknown,
  authInfo: AuthInfo | undefined,
  options: HandlerOptions,
): Promise<Response | undefined> {
  const principal = principalOf(authInfo);
  if (principal === undefined) {
    options.log.error({}, 'A request came without a principal. The gateway must stand behind a guard.');
    return errorResponse(500, body, -32603, 'The gateway cannot tell who is calling. Nothing was run.');
  }
  if (!isObject(body)) return errorResponse(400, body, -32600, 'Send one JSON-RPC message; batches are not accepted.');
  // Answers of clients: the gateway never asks them anything.
  if (typeof body.method !== 'string') return new Response(null, { status: 202 });
  const isRequest = body.id !== undefined;
  const treatment = treatmentOf(body.method);
  if (treatment === undefined || treatment.kind === 'drop') {
    if (!isRequest) return new Response(null, { status: 202 });
    return errorResponse(isModern(body) ? 404 : 200, body, -32601, 'Method not found');
  }
  if (body.method === 'notifications/cancelled') {
    const requestId = isObject(body.params) ? body.params.requestId : undefined;
    if (typeof requestId === 'string' || typeof requestId === 'number') {
      options.inFlight.cancel(principal.key, requestId);
    }
    return new Response(null, { status: 202 });
  }
  try {
    await options.describe();
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    if (!isRequest) return new Response(null, { status: 202 });
    return errorResponse(200, body, error.code, error.message, error.data);
  }
  return undefined;
}

async function serverFor(context: McpRequestContext, options: HandlerOptions): Promise<Server> {
  const { capabilities, serverInfo, instructions } = await options.describe();
  const server = new Server(serverInfo as unknown as Implementation, {
    capabilities: servedCapabilities(capabilities),
    ...(typeof instructions === 'string' ? { instructions } : {}),
  });
  // Else the SDK would answer it from a memory that lasts one request.
  server.removeRequestHandler('logging/setLevel');
  const principal = principalOf(context.authInfo);
  server.fallbackRequestHandler = async (request, requestContext) => {
    if (principal === undefined) throw new Error('No principal.');
    try {
      return await relay(options, { request, context: requestContext, principal, era: context.era });
    } catch (error) {
      // To the guard, a run without an answer has an unknown outcome, and an error says that it failed.
      const isUnknown = error instanceof UpstreamError && error.failure === 'unknown';
      if (isUnknown && principal.redemptionId !== undefined) {
        options.log.error({ error: error.message, redemption: principal.redemptionId }, 'A run has no known outcome.');
        await server.close();
      }
      throw error;
    }
  };
  return server;
}

function isModern(body: JsonObject): boolean {
  const meta = isObject(body.params) ? body.params._meta : undefined;
  return isObject(meta) && meta['io.modelcontextprotocol/protocolVersion'] !== undefined;
}
