import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signCheckpoint, verifyCheckpoint } from '../../src/events/checkpoint.ts';
import { parseVerifierKey, signNote, verifierKeyText, verifyNote } from '../../src/events/signed_note.ts';

// The example of the Go package golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
const PUBLISHED_KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const PUBLISHED_TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PUBLISHED_NOTE = `${PUBLISHED_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;

function newSigner(name = 'http://localhost:9400') {
  const signer = { name, privateKey: generateKeyPairSync('ed25519').privateKey };
  const verifier = parseVerifierKey(verifierKeyText(signer));
  if (!verifier.ok) throw new Error(verifier.refusal);
  return { signer, verifier: verifier.value };
}

const STATE = { size: 42, root: Buffer.alloc(32, 5) };

describe('signed notes', () => {
  it('verify as others write them', () => {
    const verifier = parseVerifierKey(PUBLISHED_KEY);
    expect(verifier.ok && verifyNote(verifier.value, PUBLISHED_NOTE)).toEqual({ ok: true, value: PUBLISHED_TEXT });
  });

  it('refuse any change of text, signature, name or key', () => {
    const { signer, verifier } = newSigner();
    const note = signNote(signer, 'one\n\ntwo\n');
    expect(verifyNote(verifier, note)).toEqual({ ok: true, value: 'one\n\ntwo\n' });
    const another = newSigner();
    const problems = [
      note.replace('two', 'too'),
      note.replace(/(.{10})==?\n$/, 'AAAAAAAAAA==\n'),
      note.slice(0, -1),
      `${note}— somebody\n`,
      note.slice(0, note.lastIndexOf('\n\n') + 2),
      signNote(another.signer, 'one\n\ntwo\n'),
      '',
    ];
    for (const changed of problems) expect(verifyNote(verifier, changed).ok, changed).toBe(false);
  });

  it('pass over the signatures of witnesses', () => {
    const { signer, verifier } = newSigner();
    const witness = newSigner('witness.example');
    const note = signCheckpoint(signer, STATE);
    const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
    const cosigned = note + signNote(witness.signer, text).slice(text.length + 1);
    expect(verifyCheckpoint(verifier, cosigned)).toMatchObject({ ok: true, value: { size: 42 } });
  });

  it('are not signed under a name or with a text that would change their meaning', () => {
    const { signer } = newSigner();
    expect(() => signNote({ ...signer, name: 'a b' }, 'text\n')).toThrow('space or a plus');
    expect(() => signNote({ ...signer, name: 'a+b' }, 'text\n')).toThrow('space or a plus');
    for (const text of ['no newline', 'tab\t\n', '']) expect(() => signNote(signer, text)).toThrow('newline');
  });
});

describe('verifier keys', () => {
  it('are refused when a character was lost or changed', () => {
    for (const text of [
      '',
      'name',
      PUBLISHED_KEY.slice(0, -4),
      PUBLISHED_KEY.replace('c74f', 'c74e'),
      `x${PUBLISHED_KEY}`,
    ]) {
      expect(parseVerifierKey(text).ok, text).toBe(false);
    }
    expect(parseVerifierKey(`${PUBLISHED_KEY}\n`).ok).toBe(true);
  });
});

describe('checkpoints', () => {
  it('name the log, its size and its root', () => {
    const { signer, verifier } = newSigner();
    const note = signCheckpoint(signer, STATE);
    expect(note).toMatch(
      /^http:\/\/localhost:9400\n42\nBQUF[A-Za-z0-9+/]*=\n\n— http:\/\/localhost:9400 [A-Za-z0-9+/=]+\n$/,
    );
    expect(verifyCheckpoint(verifier, note)).toEqual({ ok: true, value: { origin: signer.name, ...STATE } });
  });

  it('are refused for another log, and for sizes and roots that read two ways', () => {
    const { signer, verifier } = newSigner();
    const root = STATE.root.toString('base64');
    const problems = [
      `https://other.example\n42\n${root}\n`,
      `${signer.name}\n042\n${root}\n`,
      `${signer.name}\n-1\n${root}\n`,
      `${signer.name}\n9007199254740993\n${root}\n`,
      `${signer.name}\n42\n${root.slice(0, -4)}\n`,
      `${signer.name}\n42\n`,
      `${signer.name}\n`,
    ];
    for (const text of problems) expect(verifyCheckpoint(verifier, signNote(signer, text)).ok, text).toBe(false);
  });
});
