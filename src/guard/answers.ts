import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { authorizationDenialMeta, type DenialDescription } from '../wire/authorization_denial_sep_2643.ts';
import { REFUSALS, type Refusal, refusalBody } from '../wire/refusals.ts';
import { REFUSAL_META } from '../wire/result_meta.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { wwwAuthenticate } from '../wire/www_authenticate.ts';
import type { EdgeRefusal, InboundMessage } from './edge.ts';
import { authenticationError, tellNonce } from './proof_nonces.ts';

/** JSON-RPC errors of the guard's own; what was refused and why is in `data`. */
export const REFUSED_CODE = -32_000;
export const METHOD_NOT_FOUND_CODE = -32_601;
export const INVALID_PARAMS_CODE = -32_602;
export const INTERNAL_ERROR_CODE = -32_603;

export function resultMessage(to: InboundMessage, result: JsonObject): JsonObject {
  const { resultType: _resultType, ...rest } = result;
  // MCP 2026-07-28: every result says what it is; 2025 clients do not know the member.
  const typed = to.era === '2026' ? { resultType: 'complete', ...rest } : rest;
  return { jsonrpc: '2.0', id: to.id, result: typed };
}

export function errorMessage(to: InboundMessage, code: number, message: string, data?: JsonValue): JsonObject {
  return { jsonrpc: '2.0', id: to.id ?? null, error: { code, message, ...(data === undefined ? {} : { data }) } };
}

/**
 * A refusal as the caller's model can read and act on it: for a tool call a result with `isError`, which hosts show to
 * the model, else a JSON-RPC error. The structured reason and the envelope of SEP-2643 ride along.
 */
export function refusalMessage(to: InboundMessage, refused: Refusal, denial?: DenialDescription): JsonObject {
  const meta: JsonObject = {
    ...(authorizationDenialMeta(denial ?? { remediation: 'unavailable' }) as unknown as JsonObject),
    [REFUSAL_META]: refusalBody(refused),
  };
  return toldMessage(to, `${refused.message} ${REFUSALS[refused.code].next}`, meta);
}

/** Text for people and models, with `_meta` for programs; nothing ran. */
export function toldMessage(to: InboundMessage, text: string, meta: JsonObject): JsonObject {
  if (to.method !== 'tools/call') return errorMessage(to, REFUSED_CODE, text, meta);
  return resultMessage(to, { content: [{ type: 'text', text }], isError: true, _meta: meta });
}

export function jsonAnswer(message: JsonObject, status = 200): Response {
  return Response.json(message, { status, headers: { 'cache-control': 'no-store' } });
}

export function edgeAnswer(refused: EdgeRefusal): Response {
  const error = { code: refused.code, message: refused.message };
  return jsonAnswer({ jsonrpc: '2.0', id: refused.id, error }, refused.status);
}

/** 401 with where to obtain a token (RFC 9728 §5.1). Sent before any side effect only: clients resend after it. */
export function unauthorizedAnswer(
  refused: Refusal,
  metadataUrl: string,
  id: InboundMessage['id'] | null = null,
): Response {
  const { scheme, error: because } = authenticationError(refused);
  const header = wwwAuthenticate({
    scheme,
    // RFC 6750 §3.1: no error when the request carried no token at all.
    ...(refused.code === 'token_missing' ? {} : { error: because, error_description: refused.message }),
    scope: BASE_SCOPE,
    resource_metadata: metadataUrl,
  });
  const error = { code: REFUSED_CODE, message: refused.message, data: refusalBody(refused) };
  const answer = jsonAnswer({ jsonrpc: '2.0', id: id ?? null, error }, 401);
  answer.headers.set('www-authenticate', header);
  tellNonce(answer, refused);
  return answer;
}
