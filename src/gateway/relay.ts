import type { JSONRPCRequest, Result, ServerContext } from '@modelcontextprotocol/server';
import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { IDEMPOTENCY_META } from '../wire/result_meta.ts';
import type { InFlightCalls } from './in_flight.ts';
import type { LogLevels } from './log_levels.ts';
import type { Manifest } from './manifest.ts';
import { traceContext, upstreamParams } from './methods.ts';
import { relayNotifications } from './notification_relay.ts';
import type { Lease, UpstreamPool } from './pool.ts';
import type { GatewayPrincipal } from './principal.ts';
import { sanitizeError, sanitizeResult } from './sanitize.ts';
import { notSent, UpstreamError } from './upstream/upstream_error.ts';

export interface RelayOptions {
  readonly pool: UpstreamPool;
  readonly manifest: Manifest;
  readonly inFlight: InFlightCalls;
  readonly logLevels: LogLevels;
  /** Resolves when the manifest holds a list. Throws UpstreamError. */
  readonly listed: () => Promise<void>;
}

export interface RelayedRequest {
  readonly request: JSONRPCRequest;
  readonly context: ServerContext;
  readonly principal: GatewayPrincipal;
  readonly era: 'legacy' | 'modern';
}

const METHOD_NOT_FOUND_CODE = -32601;
const INVALID_PARAMS_CODE = -32602;

/** Passes one permitted request to the principal's own upstream and its result back, as little changed as is safe. */
export async function relay(options: RelayOptions, relayed: RelayedRequest): Promise<Result> {
  const { request, context, principal, era } = relayed;
  const meta = { ...traceContext(request.params?._meta), ...redemptionMeta(principal, request.method) };
  const params = upstreamParams(request.method, request.params, meta);
  if (params === undefined) throw new UpstreamError('answered', METHOD_NOT_FOUND_CODE, 'Method not found');
  const call = options.inFlight.add(principal.key, context.mcpReq.id);
  // 2026-07-28: the client cancels by closing the stream. In 2025 a lost connection is no cancellation, and the
  // recorded outcome is worth having when the client comes back.
  const signal = era === 'modern' ? AbortSignal.any([call.signal, context.mcpReq.signal]) : call.signal;
  let lease: Lease | undefined;
  try {
    if (request.method === 'tools/list') {
      lease = await options.pool.acquire(principal);
      return sanitizeResult(await listTools(lease, request.params?.cursor)) as Result;
    }
    lease =
      request.method === 'tools/call'
        ? await acquireForTool(options, principal, params.name)
        : await options.pool.acquire(principal);
    return (await forward(options, lease, relayed, params, signal)) as Result;
  } catch (error) {
    throw error instanceof UpstreamError ? sanitizeError(error) : error;
  } finally {
    call.done();
    lease?.release();
  }
}

async function forward(
  options: RelayOptions,
  lease: Lease,
  { request, context, principal, era }: RelayedRequest,
  params: JsonObject,
  signal: AbortSignal,
): Promise<JsonObject> {
  const isCall = request.method === 'tools/call';
  await options.logLevels.restore(lease.session, principal.key);
  const result = await lease.session.request(request.method, params, {
    signal,
    keepsNumbers: true,
    ...relayNotifications(request, context, era),
    ...(isCall ? { argumentsText: canonicalJson((params.arguments ?? {}) as JsonValue) } : {}),
  });
  if (request.method === 'logging/setLevel') options.logLevels.remember(lease.session, principal.key, params);
  return sanitizeResult(result);
}

async function listTools({ session }: Lease, cursor: unknown): Promise<JsonObject> {
  // All pages are one here: there is no cursor to come back with.
  if (cursor !== undefined) throw new UpstreamError('answered', INVALID_PARAMS_CODE, 'Unknown cursor.');
  const { tools } = await session.watch.read();
  // A copy, since the result is sanitized in place and the list is what digests are made of.
  return { tools: structuredClone(tools) };
}

/** An upstream that lists the tool exactly as it was when the call was evaluated. */
async function acquireForTool(options: RelayOptions, principal: GatewayPrincipal, name: unknown): Promise<Lease> {
  await options.listed();
  const expected = typeof name === 'string' ? options.manifest.list?.texts.get(name) : undefined;
  if (expected === undefined) {
    throw new UpstreamError('answered', INVALID_PARAMS_CODE, `Unknown tool: ${String(name).slice(0, 100)}`);
  }
  for (const isLastTry of [false, true]) {
    const lease = await options.pool.acquire(principal);
    const { session } = lease;
    try {
      await session.watch.first;
      const isAsExpected = () => !session.watch.isStale && session.watch.list.texts.get(name as string) === expected;
      if (isAsExpected()) return lease;
      await session.watch.settled();
      if (isAsExpected()) return lease;
      const isOutdated = session.isOlderThan(options.manifest);
      // A process from before the change: the next one shows what is there now.
      if (isOutdated) options.pool.retire(session);
      lease.release();
      if (isLastTry || !isOutdated) break;
    } catch (error) {
      // Its tools cannot be read; perhaps those of a new process can.
      options.pool.retire(session);
      lease.release();
      throw notRun(error);
    }
  }
  throw notSent('The tool changed since this call was evaluated. Nothing was run. List the tools and call again.');
}

// Reading the tools failed, whatever that error says of its own outcome: the call itself was never sent.
function notRun(error: unknown): unknown {
  return error instanceof UpstreamError ? notSent(`Nothing was run. ${error.message}`) : error;
}

// The tool may use it as idempotency key; a client cannot set it.
function redemptionMeta(principal: GatewayPrincipal, method: string): JsonObject {
  if (principal.redemptionId === undefined || method !== 'tools/call') return {};
  return { [IDEMPOTENCY_META]: principal.redemptionId };
}
