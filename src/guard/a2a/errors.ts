import type { JsonObject } from '../../kernel/json.ts';
import { A2A_ERROR_DOMAIN } from '../../wire/a2a_extension.ts';
import { REFUSALS, type Refusal, type RefusalCode } from '../../wire/refusals.ts';
import { BASE_SCOPE } from '../../wire/scopes.ts';
import { wwwAuthenticate } from '../../wire/www_authenticate.ts';
import { INVALID_PARAMS_CODE, jsonAnswer, REFUSED_CODE } from '../answers.ts';
import type { RequestId } from '../edge.ts';
import { authenticationError, tellNonce } from '../proof_nonces.ts';

const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
/** A2A §5.4 */
const TASK_NOT_FOUND = { code: -32_001, reason: 'TASK_NOT_FOUND' } as const;
const PUSH_NOTIFICATION_NOT_SUPPORTED = { code: -32_003, reason: 'PUSH_NOTIFICATION_NOT_SUPPORTED' } as const;
const UNSUPPORTED_OPERATION = { code: -32_004, reason: 'UNSUPPORTED_OPERATION' } as const;
const VERSION_NOT_SUPPORTED = { code: -32_009, reason: 'VERSION_NOT_SUPPORTED' } as const;
const A2A_DOMAIN = 'a2a-protocol.org';

const INVALID: ReadonlySet<RefusalCode> = new Set(['request_invalid', 'json_invalid', 'arguments_undeclared']);

/** A refusal in the words of A2A §9.5: the text for people and models, the code and what to do next as ErrorInfo. */
export function errorOf(id: RequestId | null, refused: Refusal): JsonObject {
  const metadata: Record<string, string> = { next: REFUSALS[refused.code].next };
  for (const [name, value] of Object.entries(refused.detail ?? {}))
    if (typeof value === 'string') metadata[name] = value;
  return errorMessage(id, INVALID.has(refused.code) ? INVALID_PARAMS_CODE : REFUSED_CODE, refused.message, {
    reason: refused.code.toUpperCase(),
    domain: A2A_ERROR_DOMAIN,
    metadata,
  });
}

/** For tasks that are not there and for those of others alike (A2A §3.3.2). */
export function taskNotFound(id: RequestId | null): JsonObject {
  return a2aError(id, TASK_NOT_FOUND, 'Task not found: it does not exist, or it is not a task of yours.');
}

export function methodRefused(id: RequestId | null, method: string): JsonObject {
  return method.includes('PushNotification')
    ? a2aError(
        id,
        PUSH_NOTIFICATION_NOT_SUPPORTED,
        'Push notifications are not open to agents here: poll or subscribe.',
      )
    : a2aError(id, UNSUPPORTED_OPERATION, `The method ${method} is not open to agents here.`);
}

export function unsupported(id: RequestId | null, message: string): JsonObject {
  return a2aError(id, UNSUPPORTED_OPERATION, message);
}

export function versionRefused(id: RequestId | null, version: string): JsonObject {
  return a2aError(id, VERSION_NOT_SUPPORTED, `This agent speaks A2A 1.0, not "${version}": send A2A-Version: 1.0.`);
}

/** 401 with where to obtain a token (A2A §7.4, RFC 9728 §5.1), and whose agents are served here. */
export function unauthorized(id: RequestId | null, refused: Refusal, issuer: string, metadataUrl: string): Response {
  const { scheme, error: because } = authenticationError(refused);
  const said = { ...refused, message: `${refused.message} This agent takes work only from agents of ${issuer}.` };
  const answer = jsonAnswer(errorOf(id, { ...said, detail: { ...refused.detail, issuer } }), 401);
  answer.headers.set(
    'www-authenticate',
    wwwAuthenticate({
      scheme,
      ...(refused.code === 'token_missing' ? {} : { error: because, error_description: refused.message }),
      scope: BASE_SCOPE,
      resource_metadata: metadataUrl,
    }),
  );
  tellNonce(answer, refused);
  return answer;
}

function a2aError(id: RequestId | null, known: { code: number; reason: string }, message: string): JsonObject {
  return errorMessage(id, known.code, message, { reason: known.reason, domain: A2A_DOMAIN, metadata: {} });
}

function errorMessage(id: RequestId | null, code: number, message: string, info: JsonObject): JsonObject {
  return { jsonrpc: '2.0', id, error: { code, message, data: [{ '@type': ERROR_INFO, ...info }] } };
}
