import { JSON_POINTER_CHARACTERS_MAX } from './limits.ts';

/** A JSON pointer (RFC 6901) to a place in a document; the whole document is the empty string. */
export function jsonPointer(path: readonly (string | number)[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** A JSON pointer as an error message shows it: quoted, escaped to printable ASCII and bounded. */
export function quotedJsonPointer(path: readonly (string | number)[]): string {
  const pointer = jsonPointer(path);
  const shown =
    pointer.length > JSON_POINTER_CHARACTERS_MAX ? `${pointer.slice(0, JSON_POINTER_CHARACTERS_MAX)}…` : pointer;
  return JSON.stringify(shown).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
