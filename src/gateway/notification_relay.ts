import type { JSONRPCRequest, ServerContext } from '@modelcontextprotocol/server';
import type { JsonObject } from '../kernel/json.ts';
import { RELAYED_BYTES_PER_CALL_MAX } from './limits.ts';
import { sanitizeParams } from './sanitize.ts';
import type { SessionRequestOptions } from './session.ts';

const LOG_LEVEL_META_KEY = 'io.modelcontextprotocol/logLevel';
const SEVERITIES: readonly string[] = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];

/** Sends progress and log messages of a call on the stream of that call, in words its client understands. */
export function relayNotifications(
  request: JSONRPCRequest,
  context: ServerContext,
  era: 'legacy' | 'modern',
): Pick<SessionRequestOptions, 'onProgress' | 'onLog'> {
  let bytesLeft = RELAYED_BYTES_PER_CALL_MAX;
  const send = (method: string, raw: JsonObject, ours: JsonObject) => {
    const params = cleanParams(raw, ours);
    if (params === undefined) return;
    bytesLeft -= JSON.stringify(params).length;
    if (bytesLeft < 0) return;
    // Written before the result, which comes later. A client that is gone, or takes no log messages, loses nothing.
    context.mcpReq.notify({ method, params }).catch(() => {});
  };
  const token = request.params?._meta?.progressToken;
  const isWanted = logFilter(context, era);
  return {
    // The upstream saw a token of ours; the client gets its own back.
    ...(token === undefined
      ? {}
      : { onProgress: (params) => send('notifications/progress', params, { progressToken: token }) }),
    onLog: (params) => {
      if (isWanted(params)) send('notifications/message', params, {});
    },
  };
}

function cleanParams(raw: JsonObject, ours: JsonObject): JsonObject | undefined {
  try {
    return { ...sanitizeParams(raw), ...ours };
  } catch {
    // Nested too deep to be written: a notification may be lost, a result may not.
    return undefined;
  }
}

// 2026-07-28: a client names the level in each request, or gets none. 2025: the upstream filters by `logging/setLevel`.
function logFilter(context: ServerContext, era: 'legacy' | 'modern'): (params: JsonObject) => boolean {
  if (era === 'legacy') return () => true;
  const level = SEVERITIES.indexOf(String((context.mcpReq.envelope as JsonObject | undefined)?.[LOG_LEVEL_META_KEY]));
  return (params) => level !== -1 && SEVERITIES.indexOf(String(params.level)) >= level;
}
