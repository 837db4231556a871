import { AgentCard } from '@a2a-js/sdk';
import {
  type AgentExecutor,
  DefaultRequestHandler,
  InMemoryTaskStore,
  JsonRpcTransportHandler,
} from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import { A2A_MESSAGE_TOOL } from '../../wire/a2a_extension.ts';
import { INTERNAL_ERROR_CODE, jsonAnswer } from '../answers.ts';
import { authenticator } from '../authenticate.ts';
import { buildParts, checkOptions, closeParts, type Parts, startParts } from '../guard_parts.ts';
import { checkCard, guardedCard, toolsOf } from './card.ts';
import { Conversations } from './conversations.ts';
import { GuardedExecutor } from './executor.ts';
import { CARD_SECONDS } from './limits.ts';
import type { A2AGuardOptions, A2AServer } from './options.ts';
import { serve } from './serve.ts';
import type { Serving } from './serving.ts';

const CARD_PATH = '/.well-known/agent-card.json';

/**
 * Serves an agent of `@a2a-js/sdk` behind a guard. Only agents of the issuer get in, with a token for this address; each
 * message is decided like a tool call; one that needs a person waits as a task in TASK_STATE_AUTH_REQUIRED and goes on by
 * itself; what runs is what was decided, to the byte. Without a reachable server nothing runs.
 *
 * @param executor - the agent. It learns of its caller by `countersignOf(requestContext)`
 * @param options - see {@link A2AGuardOptions}; `issuer`, `resource`, `key` and `agentCard` are required
 * @throws TypeError, from the first request and from `ready()`, for options that cannot work
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { createServer } from 'node:http';
 * import { toNodeHandler } from '@modelcontextprotocol/node';
 * import { protectA2A } from 'countersign/a2a';
 * import { agentCard, BillingExecutor } from './billing.ts';
 *
 * const agent = protectA2A(new BillingExecutor(), {
 *   issuer: 'http://localhost:9400',
 *   resource: 'http://localhost:3000/a2a',
 *   key: JSON.parse(readFileSync('guard-key.json', 'utf8')),
 *   agentCard,
 * });
 * createServer().on('request', toNodeHandler(agent)).listen(3000);
 * ```
 */
export function protectA2A<Exchanged>(executor: AgentExecutor, options: A2AGuardOptions<Exchanged>): A2AServer {
  const started = start(executor, options);
  // Reported by whoever uses it first; without a user it must not end the process.
  started.catch(() => {});
  return {
    fetch: async (request) => (await started).fetch(request),
    ready: async () => (await started).ready,
    close: async () => closeParts((await started).parts),
  };
}

async function start<Exchanged>(executor: AgentExecutor, options: A2AGuardOptions<Exchanged>) {
  const { agentCard, inputs = {}, skillOf } = options;
  const deployment = { kind: 'a2a', agent: agentCard.name, version: agentCard.version } as const;
  const partOptions = { ...options, deployment };
  checkOptions(partOptions);
  checkCard(agentCard, inputs);
  const parts = await buildParts(partOptions);
  const definitions = toolsOf(agentCard, inputs).filter(
    ({ name }) => skillOf !== undefined || name === A2A_MESSAGE_TOOL,
  );
  const { context, ready } = startParts(options, parts, {
    inner: () => Promise.reject(new TypeError('An agent is not reached by MCP.')),
    listTools: async () => definitions,
    facts: options.facts,
  });
  const guarded = new GuardedExecutor({ context, inner: executor, exchange: exchangeOf(options) });
  const tools = definitions.map(({ name }) => name);
  const handler = new DefaultRequestHandler(
    guardedCard(agentCard, { ...options, tools, tokenEndpoint: '' }),
    options.taskStore ?? new InMemoryTaskStore(),
    guarded,
  );
  const { origin, host } = new URL(options.resource);
  const serving: Serving = {
    context,
    registration: parts.registration,
    authenticate: authenticator(options.resource, parts.verifyToken, parts.nonces),
    hosts: new Set([host, ...(options.allowedHosts ?? [])]),
    origins: new Set([origin, ...(options.allowedOrigins ?? [])]),
    reading: { skillOf, inputs, tools: new Set(tools) },
    conversations: new Conversations(options.key.d),
    executor: guarded,
    handler,
    transport: new JsonRpcTransportHandler(handler),
    isStreaming: agentCard.capabilities?.streaming === true,
    inFlight: { count: 0 },
    isInForce: async ({ accessToken }) => (await parts.verifyToken(accessToken, new Date())).ok,
  };
  const card = async () => {
    const { token_endpoint: tokenEndpoint } = await parts.metadata();
    return guardedCard(agentCard, { ...options, tools, tokenEndpoint });
  };
  return { parts, ready, fetch: (request: Request) => answer(serving, parts, card, request) };
}

function exchangeOf<Exchanged>({
  agent,
}: A2AGuardOptions<Exchanged>): ConstructorParameters<typeof GuardedExecutor>[0]['exchange'] {
  if (agent === undefined) return undefined;
  return async (subjectToken, resource, request) => agent.exchange({ ...request, subjectToken, resource });
}

async function answer(
  serving: Serving,
  parts: Parts,
  card: () => Promise<AgentCard>,
  request: Request,
): Promise<Response> {
  const metadata = parts.published.serve(request);
  if (metadata !== null) return metadata;
  try {
    const { pathname } = new URL(request.url);
    const { pathname: own } = new URL(serving.context.action.resource);
    if (pathname === CARD_PATH || pathname === `${own.replace(/\/$/, '')}${CARD_PATH}`)
      return await serveCard(card, request);
    if (pathname !== own) return new Response(null, { status: 404 });
    return await serve(serving, request);
  } catch (error) {
    if (request.signal.aborted) return new Response(null, { status: 499 });
    parts.log.error({ error }, 'a request failed in the guard; nothing was run by it');
    const failure = { code: INTERNAL_ERROR_CODE, message: 'The guard of this agent failed. Nothing was run.' };
    return jsonAnswer({ jsonrpc: '2.0', id: null, error: failure }, 500);
  }
}

/** Public: it says how to come in, and nothing of what is inside (A2A §8.2). */
async function serveCard(card: () => Promise<AgentCard>, request: Request): Promise<Response> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } });
  }
  const body = AgentCard.toJSON(await card()) as JsonObject;
  const answered = Response.json(body, { headers: { 'cache-control': `public, max-age=${CARD_SECONDS}` } });
  return request.method === 'HEAD' ? new Response(null, { headers: answered.headers }) : answered;
}
