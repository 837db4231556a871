import { A2A_EXTENSION_URI } from '../../wire/a2a_extension.ts';

/**
 * The value without anything under our name, at any depth: what a model or a server further down said there would be a
 * fake address for approvals. The same value where there is nothing to take out.
 */
export function withoutOurs<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) {
    const kept = value.map((item) => withoutOurs(item));
    return (kept.some((item, index) => item !== value[index]) ? kept : value) as Value;
  }
  const entries = Object.entries(value);
  const kept = entries
    .filter(([name]) => name !== A2A_EXTENSION_URI)
    .map(([name, member]) => [name, withoutOurs(member)] as const);
  const isSame = kept.length === entries.length && kept.every(([, member], index) => member === entries[index]?.[1]);
  return isSame ? value : (Object.fromEntries(kept) as Value);
}
