export interface AuthenticationChallenge {
  readonly scheme: 'Bearer' | 'DPoP';
  readonly realm?: string;
  readonly error?:
    | 'invalid_request'
    | 'invalid_token'
    | 'insufficient_scope'
    | 'insufficient_user_authentication'
    | 'invalid_dpop_proof'
    | 'use_dpop_nonce'
    | 'transaction_authorization_required';
  readonly error_description?: string;
  /** Scopes separated by single spaces. */
  readonly scope?: string;
  /** RFC 9728 §5.1: the address of the metadata document. */
  readonly resource_metadata?: string;
  /** RFC 9449 §7.1: signature algorithms separated by spaces. */
  readonly algs?: string;
  readonly acr_values?: string;
  readonly max_age?: number;
  readonly transaction_challenge?: string;
}

const ORDER = [
  'realm',
  'error',
  'error_description',
  'scope',
  'resource_metadata',
  'algs',
  'acr_values',
  'max_age',
  'transaction_challenge',
] as const satisfies readonly (keyof AuthenticationChallenge)[];

/**
 * One value of WWW-Authenticate (RFC 9110 §11.6.1, RFC 6750 §3). All parameters are quoted strings. Throws TypeError for
 * a value that no header can carry, except in the description, which is made fit: it may repeat what a caller sent.
 */
export function wwwAuthenticate(challenge: AuthenticationChallenge): string {
  const parameters: string[] = [];
  for (const name of ORDER) {
    const value = challenge[name];
    if (value === undefined) continue;
    const text = name === 'error_description' ? describe(String(value)) : String(value);
    parameters.push(`${name}=${quoted(name, text)}`);
  }
  return parameters.length === 0 ? challenge.scheme : `${challenge.scheme} ${parameters.join(', ')}`;
}

// RFC 9110 §5.6.4. Only printable ASCII: a line break here would be a header of its own.
function quoted(name: string, text: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) throw new TypeError(`The ${name} of a challenge must be printable ASCII.`);
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

// RFC 6750 §3 allows neither quotes nor backslashes in a description, quoted or not.
function describe(text: string): string {
  return text
    .replaceAll('"', "'")
    .replaceAll('\\', '/')
    .replaceAll(/[^\x20-\x7e]+/g, ' ');
}
