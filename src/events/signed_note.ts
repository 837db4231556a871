import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { sha256 } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';

// C2SP signed-note: the byte that says Ed25519, in front of the key and in the key's id.
const ED25519 = Buffer.of(1);
const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const SIGNATURE_PREFIX = '— ';

/** Who signs notes. The name goes into every note; it holds no space and no plus sign. */
export interface NoteSigner {
  readonly name: string;
  readonly privateKey: KeyObject;
}

/** A public key by name, read from its text form `<name>+<id in hex>+<base64 of type and key>`. */
export interface NoteVerifier {
  readonly name: string;
  readonly id: Buffer;
  readonly publicKey: KeyObject;
}

/** The public key as one line of text, to hand to whoever verifies. */
export function verifierKeyText(signer: NoteSigner): string {
  const key = publicKeyBytes(signer.privateKey);
  return `${signer.name}+${keyId(signer.name, key).toString('hex')}+${Buffer.concat([ED25519, key]).toString('base64')}`;
}

export function parseVerifierKey(text: string): Result<NoteVerifier, string> {
  const parts = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/u.exec(text.trim());
  if (parts === null) return refused('a verifier key is one line of the form <name>+<8 hex digits>+<base64>');
  const [, name, id, encoded] = parts as unknown as [string, string, string, string];
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.length !== 1 + KEY_BYTES || bytes[0] !== ED25519[0])
    return refused('the verifier key is not an Ed25519 key');
  const key = bytes.subarray(1);
  if (keyId(name, key).toString('hex') !== id)
    return refused('the verifier key was not copied whole: its id does not match');
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') };
  return accepted({ name, id: keyId(name, key), publicKey: createPublicKey({ key: jwk, format: 'jwk' }) });
}

/** Signs `text`, which ends in a newline and holds no other control character. */
export function signNote(signer: NoteSigner, text: string): string {
  if (!/^[^\s+]+$/u.test(signer.name))
    throw new TypeError(`"${signer.name}" cannot name a key: it holds a space or a plus.`);
  if (!/^(?:[^\p{Cc}]|\n)*\n$/u.test(text))
    throw new TypeError('A note ends in a newline and holds no control character.');
  const id = keyId(signer.name, publicKeyBytes(signer.privateKey));
  const signature = Buffer.concat([id, sign(null, Buffer.from(text), signer.privateKey)]);
  return `${text}\n${SIGNATURE_PREFIX}${signer.name} ${signature.toString('base64')}\n`;
}

/** Whether the note carries a signature of this name and key id, be it right or wrong. */
export function isSignedBy({ name, id }: NoteVerifier, note: string): boolean {
  const signatures = note.slice(note.lastIndexOf('\n\n') + 2).split('\n');
  return signatures.some((line) => {
    const [dash, signer, encoded = ''] = line.split(' ');
    return dash === SIGNATURE_PREFIX.trim() && signer === name && Buffer.from(encoded, 'base64').indexOf(id) === 0;
  });
}

/** The note with another signature below those it has. */
export function addSignature(signer: NoteSigner, note: string): string {
  const split = note.lastIndexOf('\n\n');
  const own = signNote(signer, note.slice(0, split + 1));
  return note + own.slice(split + 2);
}

/** The text of a note that this key signed. Signatures by other keys, such as those of witnesses, are passed over. */
export function verifyNote(verifier: NoteVerifier, note: string): Result<string, string> {
  // The signatures follow the last empty line; the text itself may hold one.
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) return refused('it is not a signed note');
  const text = note.slice(0, split + 1);
  let isSigned = false;
  for (const line of note.slice(split + 2, -1).split('\n')) {
    const parts = /^— (\S+) ([A-Za-z0-9+/=]+)$/u.exec(line);
    if (parts === null) return refused('it has a malformed signature line');
    const bytes = Buffer.from(parts[2]!, 'base64');
    if (parts[1] !== verifier.name || !bytes.subarray(0, KEY_ID_BYTES).equals(verifier.id)) continue;
    if (!verify(null, Buffer.from(text), verifier.publicKey, bytes.subarray(KEY_ID_BYTES))) {
      return refused('its signature does not fit its text');
    }
    isSigned = true;
  }
  return isSigned ? accepted(text) : refused(`it is not signed by the key of ${verifier.name}`);
}

function keyId(name: string, key: Buffer): Buffer {
  return sha256(name, '\n', ED25519, key).subarray(0, KEY_ID_BYTES);
}

function publicKeyBytes(privateKey: KeyObject): Buffer {
  return Buffer.from(createPublicKey(privateKey).export({ format: 'jwk' }).x!, 'base64url');
}
