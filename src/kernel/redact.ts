import { LOG_DEPTH_MAX, LOG_TEXT_CHARACTERS_MAX, LOG_VALUES_MAX } from './limits.ts';

export const REDACTED = '[redacted]';

// Compared without case, dashes and underscores, so that access_token, accessToken and Access-Token are one name.
const SECRET_NAMES = new Set(
  ['code', 'device_code', 'user_code', 'code_verifier', 'dpop', 'proof', 'private_key', 'root_key', 'api_key']
    .concat(['pwd', 'passphrase', 'credential', 'credentials', 'raw_headers', 'transaction_challenge', 'request_state'])
    .map(plainName),
);
const SECRET_ENDINGS = ['authorization', 'cookie', 'token', 'secret', 'password', 'assertion', 'link'];

// Codes of errors share their name with authorization codes but not their looks: `json_invalid`, `ECONNREFUSED`, `23505`.
const ERROR_CODE = /^(?:[a-z]{1,16}(?:_[a-z]{1,16}){0,5}|E[A-Z0-9_]{1,40}|[0-9A-Z]{5})$/;

/** A copy for a log: plain, bounded, without secrets by the name of their field or by their looks. It never throws. */
export function redact(value: unknown): unknown {
  try {
    return copy(value, { depth: 0, budget: { values: LOG_VALUES_MAX } });
  } catch {
    return '[unreadable]';
  }
}

/** Text without what looks like a token, a credential or a link that gives access. */
export function redactText(text: string): string {
  const bounded = text.length > LOG_TEXT_CHARACTERS_MAX ? `${text.slice(0, LOG_TEXT_CHARACTERS_MAX)}…` : text;
  return (
    bounded
      .replace(/\b(bearer|dpop|basic) +[\w.~+/=-]{6,}/gi, `$1 ${REDACTED}`)
      .replace(/\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g, REDACTED)
      .replace(/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}-----)?/g, REDACTED)
      .replace(
        /([?&#\s"'](?:[\w-]*token|code|state|[\w-]*secret|password|[\w-]*assertion)=)[^&#\s"']+/gi,
        `$1${REDACTED}`,
      )
      .replace(/(:\/\/[^/\s:@]{0,256}:)[^/\s@]{1,256}@/g, `$1${REDACTED}@`)
      // 32 bytes in base64url inside an address: a link token. A digest has the same looks but stands alone.
      .replace(/([/#=])[\w-]{43,}(?![\w-])/g, `$1${REDACTED}`)
  );
}

interface Place {
  readonly depth: number;
  readonly budget: { values: number };
}

function copy(value: unknown, place: Place): unknown {
  place.budget.values -= 1;
  if (place.budget.values < 0) return '[cut]';
  switch (typeof value) {
    case 'string':
      return redactText(value);
    case 'bigint':
      return value.toString();
    case 'number':
    case 'boolean':
      return value;
    case 'object':
      return value === null ? null : copyObject(value, place);
    default:
      return undefined;
  }
}

function copyObject(value: object, place: Place): unknown {
  if (place.depth >= LOG_DEPTH_MAX) return '[deeper]';
  const inside = { depth: place.depth + 1, budget: place.budget };
  if (value instanceof Error) return copyError(value, inside);
  if (value instanceof URL) return redactText(value.href);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.slice(0, Math.max(0, place.budget.values)).map((item) => copy(item, inside));
  const entries = value instanceof Map || value instanceof Headers ? [...value] : Object.entries(value);
  const fields: [string, unknown][] = [];
  for (const [name, member] of entries) {
    if (place.budget.values <= 0) break;
    fields.push([redactText(String(name)), isSecret(String(name), member) ? REDACTED : copy(member, inside)]);
  }
  return Object.fromEntries(fields);
}

// Only what every error has: drivers hang queries, rows, headers and whole requests onto theirs.
function copyError(error: Error, place: Place): unknown {
  const code = (error as { code?: unknown }).code;
  return {
    type: error.name,
    message: redactText(error.message),
    ...(code === undefined ? {} : { code: isSecret('code', code) ? REDACTED : copy(code, place) }),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: copy(error.cause, place) }),
    ...(error instanceof AggregateError ? { errors: copy(error.errors, place) } : {}),
  };
}

function isSecret(name: string, value: unknown): boolean {
  // A flag or a count tells nothing: `token: true`, `code: -32042`.
  if (value === null || value === undefined || typeof value === 'boolean' || typeof value === 'number') return false;
  const plain = plainName(name);
  if (plain === 'code' && typeof value === 'string' && ERROR_CODE.test(value)) return false;
  return SECRET_NAMES.has(plain) || SECRET_ENDINGS.some((ending) => plain.endsWith(ending));
}

function plainName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '');
}
