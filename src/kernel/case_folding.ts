import type { JsonValue } from './json.ts';
import { jsonPointer } from './json_pointer.ts';

/**
 * A name as readers that ignore case see it. Upper case first, so that ſ and s, ß and ss, ς and σ meet; then lower case,
 * so that the Kelvin sign and k do.
 */
export function foldCase(name: string): string {
  return name.toUpperCase().toLowerCase();
}

/**
 * The JSON pointer of the first name that equals a sibling but for case, or null. Readers that ignore case (Go's
 * encoding/json among them) would take one of the two, and not always the one a person saw.
 */
export function caseFoldedDuplicate(value: JsonValue): string | null {
  const path = find(value, []);
  return path === null ? null : jsonPointer(path);
}

type Path = readonly (string | number)[];

function find(value: JsonValue, path: Path): Path | null {
  if (value === null || typeof value !== 'object') return null;
  const isArray = Array.isArray(value);
  const folded = new Set<string>();
  for (const [name, member] of Object.entries(value)) {
    const here = [...path, isArray ? Number(name) : name];
    if (!isArray) {
      const foldedName = foldCase(name);
      if (folded.has(foldedName)) return here;
      folded.add(foldedName);
    }
    const inside = member === undefined ? null : find(member, here);
    if (inside !== null) return inside;
  }
  return null;
}
