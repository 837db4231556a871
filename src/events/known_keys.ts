import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Checkpoint, verifyCheckpoint } from './checkpoint.ts';
import type { EventBody } from './event_body.ts';
import { isSignedBy, type NoteVerifier, parseVerifierKey } from './signed_note.ts';

/**
 * The keys a log is verified with: those that were given, and those that the log announces under a key that is known by
 * then. A key that the log says was revoked is known no more.
 */
export class KnownKeys {
  /** The issuer that all keys are of. */
  readonly name: string;
  /** Those the log announced, in its order; to be handed on. */
  readonly announced: string[] = [];
  readonly #verifiers: NoteVerifier[];
  #waiting: { readonly kind: string; readonly ids: EventBody['ids'] }[] = [];

  private constructor(verifiers: NoteVerifier[]) {
    this.#verifiers = verifiers;
    this.name = verifiers[0]!.name;
  }

  static parse(verifierKeys: readonly string[]): Result<KnownKeys, string> {
    const verifiers: NoteVerifier[] = [];
    for (const text of verifierKeys) {
      const verifier = parseVerifierKey(text);
      if (!verifier.ok) return verifier;
      verifiers.push(verifier.value);
    }
    const other = verifiers.find((verifier) => verifier.name !== verifiers[0]!.name);
    if (other !== undefined) return refused(`${verifiers[0]!.name} and ${other.name} have logs of their own`);
    return verifiers.length === 0 ? refused('there is none') : accepted(new KnownKeys(verifiers));
  }

  /** Null if no known key signed it: then it says nothing, and a later one must cover what it did. */
  verify(note: string): Result<Checkpoint, string> | null {
    const signer = this.#verifiers.find((verifier) => isSignedBy(verifier, note));
    return signer === undefined ? null : verifyCheckpoint(signer, note);
  }

  /** An event of the log, which a checkpoint of a known key may cover later. */
  note({ kind, ids }: EventBody): void {
    if (kind.startsWith('key.') && ids?.purpose === 'checkpoint') this.#waiting.push({ kind, ids });
  }

  /** A checkpoint of a known key covers what was noted. */
  confirm(): void {
    for (const { kind, ids } of this.#waiting.splice(0)) {
      if (kind === 'key.revoked') this.#forget(String(ids.kid));
      if (kind === 'key.made' && typeof ids.verifier_key === 'string') this.#add(ids.verifier_key);
    }
  }

  #add(verifierKey: string): void {
    const verifier = parseVerifierKey(verifierKey);
    if (!verifier.ok || verifier.value.name !== this.name) return;
    if (this.#verifiers.some((known) => known.id.equals(verifier.value.id))) return;
    this.#verifiers.push(verifier.value);
    this.announced.push(verifierKey);
  }

  #forget(kid: string): void {
    const at = this.#verifiers.findIndex((verifier) => `checkpoint-${verifier.id.toString('hex')}` === kid);
    if (at >= 0) this.#verifiers.splice(at, 1);
  }
}
