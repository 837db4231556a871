import { createHash } from 'node:crypto';

export function sha256(...parts: readonly (string | Uint8Array)[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** SHA-256 in base64url without padding, the form every digest has on the wire and in the database. */
export function sha256Base64url(...parts: readonly (string | Uint8Array)[]): string {
  return sha256(...parts).toString('base64url');
}
