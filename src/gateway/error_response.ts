import type { JsonValue } from '../kernel/json.ts';
import { isObject } from './upstream/json_rpc_peer.ts';

/** A JSON-RPC error for the request in `body`, with its id where it has one. */
export function errorResponse(
  status: number,
  body: unknown,
  code: number,
  message: string,
  data?: JsonValue,
): Response {
  const id = isObject(body) && (typeof body.id === 'string' || typeof body.id === 'number') ? body.id : null;
  const error = { code, message, ...(data === undefined ? {} : { data }) };
  return Response.json({ jsonrpc: '2.0', id, error }, { status });
}
