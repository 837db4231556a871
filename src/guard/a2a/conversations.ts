import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Caller, principalKey } from '../caller.ts';
import { CONTEXT_RANDOM_BYTES } from './limits.ts';

/**
 * Context ids that say whose they are. An agent keeps a conversation, and its tasks, under an id that clients send back;
 * one that was guessed, or that another agent in the chain has seen, must not open a stranger's. The id carries a keyed
 * digest of the principal, so that every process with the guard's key knows its own without storing anything.
 */
export class Conversations {
  readonly #secret: Buffer;

  /** `d` of the guard's private key; the digests are of another kind than its signatures, and cannot be taken for one. */
  constructor(privateKey: string) {
    this.#secret = createHmac('sha256', privateKey).update('countersign-a2a-context/1').digest();
  }

  /** A new id, for this principal alone. */
  begin(caller: Caller): string {
    const random = randomBytes(CONTEXT_RANDOM_BYTES).toString('base64url');
    return `${random}.${this.#mark(random, caller)}`;
  }

  isOf(caller: Caller, contextId: string): boolean {
    const [random = '', mark = '', ...rest] = contextId.split('.');
    if (rest.length > 0) return false;
    const expected = Buffer.from(this.#mark(random, caller));
    const given = Buffer.from(mark);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  #mark(random: string, caller: Caller): string {
    return createHmac('sha256', this.#secret)
      .update(`${random}\n${principalKey(caller)}`)
      .digest('base64url');
  }
}
