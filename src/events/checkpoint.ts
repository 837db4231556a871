import { accepted, type Result, refused } from '../kernel/result.ts';
import { type NoteSigner, type NoteVerifier, signNote, verifyNote } from './signed_note.ts';

/** The state of the log at one size: C2SP tlog-checkpoint. The origin is the issuer. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
}

export function signCheckpoint(signer: NoteSigner, state: { readonly size: number; readonly root: Buffer }): string {
  return signNote(signer, `${signer.name}\n${state.size}\n${state.root.toString('base64')}\n`);
}

/** Reads a checkpoint that `verifier` signed and that names it as origin. Extension lines are passed over. */
export function verifyCheckpoint(verifier: NoteVerifier, note: string): Result<Checkpoint, string> {
  const text = verifyNote(verifier, note);
  if (!text.ok) return text;
  const [origin, size, root] = text.value.split('\n');
  if (origin !== verifier.name) return refused(`it is a checkpoint of another log, ${origin}`);
  if (size === undefined || !/^(0|[1-9]\d*)$/.test(size) || !Number.isSafeInteger(Number(size))) {
    return refused('it has no size');
  }
  const rootBytes = Buffer.from(root ?? '', 'base64');
  if (rootBytes.length !== 32 || rootBytes.toString('base64') !== root) return refused('it has no root');
  return accepted({ origin, size: Number(size), root: rootBytes });
}
