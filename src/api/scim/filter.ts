import { accepted, type Result, refused } from '../../kernel/result.ts';
import { SCIM_FILTER_CHARACTERS_MAX, SCIM_FILTER_TERMS_MAX } from '../limits.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';

/** `attribute eq value`. The attribute is in lower case and without its schema; the value as it was written. */
export interface FilterTerm {
  readonly attribute: string;
  readonly value: string;
}

const TERM = /^\s*\(?\s*([A-Za-z][A-Za-z0-9:._-]*)\s+eq\s+("(?:[^"\\]|\\.)*"|true|false)\s*\)?\s*(?:$|and(?=\s))/i;

/**
 * The part of RFC 7644 §3.4.2.2 that identity providers use to look somebody up: equality, joined by `and`. All else is
 * refused, so that no filter is ever read as a wider one.
 */
export function parseFilter(text: string): Result<readonly FilterTerm[], ScimRefusal> {
  const wrong = refused(
    invalid('invalidFilter', 'Filters here compare by "eq", joined by "and": userName eq "ada@example.com".'),
  );
  if (text.length > SCIM_FILTER_CHARACTERS_MAX) return wrong;
  const terms: FilterTerm[] = [];
  let rest = text;
  while (rest.trim() !== '' || terms.length === 0) {
    const match = TERM.exec(rest);
    const value = match === null ? undefined : parseValue(match[2]!);
    if (match === null || value === undefined || terms.length >= SCIM_FILTER_TERMS_MAX) return wrong;
    terms.push({ attribute: attributeName(match[1]!), value });
    rest = rest.slice(match[0].length);
    if (/and$/i.test(match[0]) && rest.trim() === '') return wrong;
  }
  return accepted(terms);
}

/** Names are compared in lower case and may carry their schema in front (RFC 7644 §3.10). */
export function attributeName(text: string): string {
  return text.toLowerCase().replace(/^urn:ietf:params:scim:schemas:core:2\.0:(user|group):/, '');
}

function parseValue(text: string): string | undefined {
  if (!text.startsWith('"')) return text.toLowerCase();
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}
