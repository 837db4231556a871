import { KEY_CHARACTERS_MAX, VALUE_BYTES_MAX } from './limits.ts';

/** Throws for a key or value that is longer than the ephemeral port promises to keep. */
export function checkEntry(key: string, value = ''): void {
  if (key.length > KEY_CHARACTERS_MAX) throw new RangeError(`A key has at most ${KEY_CHARACTERS_MAX} characters.`);
  if (Buffer.byteLength(value) > VALUE_BYTES_MAX) {
    throw new RangeError(`A value has at most ${VALUE_BYTES_MAX} bytes.`);
  }
}
