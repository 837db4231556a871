import { sha256Base64url } from '../kernel/digest.ts';

/**
 * base64url(SHA-256(label, one zero byte, text)). The label keeps digests of different kinds apart; the zero byte ends
 * it, so that no label with more text after it can be read as another label.
 */
export function labelledDigest(label: string, text: string): string {
  return sha256Base64url(label, '\0', text);
}
