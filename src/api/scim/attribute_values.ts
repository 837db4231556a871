import type { JsonObject, JsonValue } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';

/** True and false, also as the text "False" that Microsoft Entra ID sends. */
export function booleanOf(name: string, value: JsonValue | undefined): Result<boolean, ScimRefusal> {
  const text = typeof value === 'string' ? value.toLowerCase() : value;
  if (text === true || text === 'true') return accepted(true);
  if (text === false || text === 'false') return accepted(false);
  return refused(invalid('invalidValue', `${name} must be true or false.`));
}

export function textOf(name: string, value: JsonValue | undefined): Result<string, ScimRefusal> {
  return typeof value === 'string' ? accepted(value) : refused(invalid('invalidValue', `${name} must be a text.`));
}

/** The one address that is kept: the primary one, or that for work, or the first. Null if there is none. */
export function emailOf(value: JsonValue | undefined): Result<string | null, ScimRefusal> {
  if (value === undefined || value === null) return accepted(null);
  const entries = Array.isArray(value) ? value : [value];
  const found: { value: string; primary: boolean; isWork: boolean }[] = [];
  for (const entry of entries) {
    const email = typeof entry === 'string' ? { value: entry } : entry;
    if (typeof email !== 'object' || email === null || Array.isArray(email)) {
      return refused(invalid('invalidValue', 'emails must be a list of {"value", "type", "primary"}.'));
    }
    if (typeof email.value !== 'string' || email.value === '') continue;
    const primary = booleanOf('primary', email.primary ?? false);
    found.push({
      value: email.value,
      primary: primary.ok && primary.value,
      isWork: String(email.type ?? '').toLowerCase() === 'work',
    });
  }
  const best = found.find((one) => one.primary) ?? found.find((one) => one.isWork) ?? found[0];
  return accepted(best?.value ?? null);
}

/** The name to show, of what a client sent: displayName, else the formatted name, else its parts. */
export function displayNameOf(displayName: JsonValue | undefined, name: JsonValue | undefined): string | null {
  if (typeof displayName === 'string' && displayName.trim() !== '') return displayName;
  if (typeof name !== 'object' || name === null || Array.isArray(name)) return null;
  const { formatted, givenName, familyName } = name as JsonObject;
  if (typeof formatted === 'string' && formatted.trim() !== '') return formatted;
  const parts = [givenName, familyName].filter((part) => typeof part === 'string' && part.trim() !== '');
  return parts.length === 0 ? null : parts.join(' ');
}
