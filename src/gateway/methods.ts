import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { readTraceparent } from '../wire/trace_context.ts';
import { TRACESTATE_CHARACTERS_MAX } from './limits.ts';
import { isObject } from './upstream/json_rpc_peer.ts';

/** What the gateway does with a method: the SDK's server answers it, it goes upstream with these params, or it is dropped. */
type Treatment =
  | { readonly kind: 'local' }
  | { readonly kind: 'forward'; readonly params: readonly string[] }
  | { readonly kind: 'drop' };

/**
 * Every method the gateway knows. All else is refused, vendor methods too: a method that nobody thought about is a way
 * around the guard. Params not named here were not hashed when the call was approved, and do not reach the upstream.
 */
const METHODS: Readonly<Record<string, Treatment>> = {
  initialize: { kind: 'local' },
  'server/discover': { kind: 'local' },
  ping: { kind: 'local' },
  'tools/list': { kind: 'forward', params: [] },
  'tools/call': { kind: 'forward', params: ['name', 'arguments'] },
  'resources/list': { kind: 'forward', params: ['cursor'] },
  'resources/templates/list': { kind: 'forward', params: ['cursor'] },
  'resources/read': { kind: 'forward', params: ['uri'] },
  'prompts/list': { kind: 'forward', params: ['cursor'] },
  'prompts/get': { kind: 'forward', params: ['name', 'arguments'] },
  'completion/complete': { kind: 'forward', params: ['ref', 'argument', 'context'] },
  'logging/setLevel': { kind: 'forward', params: ['level'] },
  'notifications/initialized': { kind: 'local' },
  'notifications/cancelled': { kind: 'local' },
  'notifications/progress': { kind: 'drop' },
};

export function treatmentOf(method: string): Treatment | undefined {
  return Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
}

/** The params that go upstream; undefined for a method that never does. */
export function upstreamParams(method: string, params: unknown, meta: JsonObject): JsonObject | undefined {
  const treatment = treatmentOf(method);
  if (treatment?.kind !== 'forward') return undefined;
  const from = isObject(params) ? params : {};
  const members = treatment.params
    .filter((name) => from[name] !== undefined)
    .map((name) => [name, from[name]] as const);
  if (Object.keys(meta).length > 0) members.push(['_meta', meta]);
  return Object.fromEntries(members) as JsonObject;
}

const PRINTABLE = /^[\x20-\x7e]*$/;

/** W3C trace context out of a request's `_meta`. Baggage is left out: it is free text that nobody approved. */
export function traceContext(meta: unknown): JsonObject {
  const traceparent = isObject(meta) ? readTraceparent(meta.traceparent) : undefined;
  if (!isObject(meta) || traceparent === undefined) return {};
  const { tracestate } = meta;
  if (typeof tracestate !== 'string' || tracestate.length > TRACESTATE_CHARACTERS_MAX || !PRINTABLE.test(tracestate)) {
    return { traceparent };
  }
  return { traceparent, tracestate };
}

const CAPABILITIES_SERVED = ['tools', 'resources', 'prompts', 'completions', 'logging'] as const;

/**
 * What clients are told: the upstream's capabilities as far as the gateway serves them. Clients are served without
 * sessions, so nothing can be subscribed to.
 */
export function servedCapabilities(upstream: JsonObject): Record<string, JsonObject> {
  const served: Record<string, JsonObject> = {};
  for (const name of CAPABILITIES_SERVED) {
    if (!isObject(upstream[name])) continue;
    const { listChanged: _listChanged, subscribe: _subscribe, ...rest } = upstream[name] as Record<string, JsonValue>;
    served[name] = rest;
  }
  return served;
}
