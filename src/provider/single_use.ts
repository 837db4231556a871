import { sha256Base64url } from '../kernel/digest.ts';
import type { EphemeralStore } from '../store/ephemeral.ts';
import { isForgotten } from '../store/forgotten.ts';
import type { ForeignToken } from '../wire/foreign_token.ts';
import { FOREIGN_TOKEN_CLOCK_SKEW_SECONDS } from '../wire/limits.ts';

export type Use = 'first' | 'again' | 'forgotten';

export interface UsedToken extends Pick<ForeignToken, 'jti' | 'issuedAt' | 'expiresAt'> {
  readonly issuer: string;
  readonly token: string;
  /** Whoever proves this key may use it again; undefined: nobody may. */
  readonly holder: string | undefined;
}

/**
 * Marks a verified token of another system as used, in the memory that all nodes share, until it expires. A token that
 * is older than this memory may have been used before.
 */
export async function markUsed(ephemeral: EphemeralStore, used: UsedToken, now: Date): Promise<Use> {
  const ttlMs = used.expiresAt * 1000 - now.getTime() + FOREIGN_TOKEN_CLOCK_SKEW_SECONDS * 1000;
  const key = `foreign_token:${sha256Base64url(used.issuer, '\0', ...nameOf(used))}`;
  const holder = used.holder ?? '';
  const isFirst = await ephemeral.putIfAbsent(key, holder, ttlMs);
  const isSame = !isFirst && holder !== '' && (await ephemeral.get(key)) === holder;
  if (isForgotten(ephemeral, used.issuedAt)) return 'forgotten';
  return isFirst || isSame ? 'first' : 'again';
}

/** What is signed, where there is no id: signatures of one content can be written in several ways. */
function nameOf({ jti, token }: UsedToken): [string, string] {
  return jti === undefined ? ['content\0', token.slice(0, token.lastIndexOf('.'))] : ['jti\0', jti];
}
