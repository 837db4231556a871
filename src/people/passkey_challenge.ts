import { randomBytes } from 'node:crypto';
import { sha256Base64url } from '../kernel/digest.ts';
import type { Store } from '../store/store.ts';
import { PASSKEY_CHALLENGE_MS, PASSKEY_CLOCK_SKEW_MS, PASSKEY_NONCE_BYTES } from './limits.ts';

/** The site passkeys belong to: its host, the origin people open it at, and the name authenticators show. */
export interface RelyingParty {
  readonly id: string;
  readonly origin: string;
  readonly name: string;
}

/** What a challenge is good for: one purpose, in one session; null before anybody is signed in. */
export interface ChallengeUse {
  readonly purpose: string;
  readonly sessionIdHash: string | null;
}

type ChallengeStore = Pick<Store, 'vault' | 'ephemeral'>;

const PURPOSE = 'passkey-challenge';
const TIME_BYTES = 6;
const MAC_BYTES = 32;

/**
 * A challenge that proves itself: nonce, time, and a MAC over both and its use. Nothing is stored before an answer
 * verified, so that asking for challenges without end fills no store.
 */
export function newChallenge(store: ChallengeStore, use: ChallengeUse, nowMs: number): Uint8Array<ArrayBuffer> {
  const time = Buffer.alloc(TIME_BYTES);
  time.writeUIntBE(nowMs, 0, TIME_BYTES);
  const head = Buffer.concat([randomBytes(PASSKEY_NONCE_BYTES), time]);
  return new Uint8Array(Buffer.concat([head, store.vault.hmac(PURPOSE, macText(use, head))]));
}

/** Whether the challenge (base64url) is ours, fresh and for this use. It may still have been spent. */
export function isChallengeFor(store: ChallengeStore, use: ChallengeUse, challenge: string, nowMs: number): boolean {
  const bytes = Buffer.from(challenge, 'base64url');
  if (bytes.length !== PASSKEY_NONCE_BYTES + TIME_BYTES + MAC_BYTES) return false;
  const head = bytes.subarray(0, PASSKEY_NONCE_BYTES + TIME_BYTES);
  if (!store.vault.isMac(PURPOSE, macText(use, head), bytes.subarray(head.length))) return false;
  const madeAtMs = timeOf(head);
  return nowMs - madeAtMs <= PASSKEY_CHALLENGE_MS && madeAtMs - nowMs <= PASSKEY_CLOCK_SKEW_MS;
}

/** Spends a challenge whose answer has verified: true once. */
export async function spendChallenge(store: ChallengeStore, challenge: string): Promise<boolean> {
  // Decoded first: two spellings of the same bytes are one challenge.
  const bytes = Buffer.from(challenge, 'base64url');
  const key = `passkey_challenge:${sha256Base64url(bytes)}`;
  const isFirst = await store.ephemeral.putIfAbsent(key, '1', PASSKEY_CHALLENGE_MS + PASSKEY_CLOCK_SKEW_MS);
  // The store may have forgotten that an older one was spent, which it may have found out just now.
  return isFirst && timeOf(bytes) >= store.ephemeral.remembersSince.getTime();
}

function timeOf(challenge: Buffer): number {
  return challenge.readUIntBE(PASSKEY_NONCE_BYTES, TIME_BYTES);
}

function macText(use: ChallengeUse, head: Uint8Array): Buffer {
  return Buffer.concat([head, Buffer.from(JSON.stringify([use.purpose, use.sessionIdHash]))]);
}
