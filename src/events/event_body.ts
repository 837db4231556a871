import { randomBytes } from 'node:crypto';
import { canonicalJson } from '../kernel/canonical_json.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { EventKind } from './kinds.ts';
import { BODY_CHARACTERS_MAX, PERSONAL_CHARACTERS_MAX, SALT_BYTES } from './limits.ts';

/** What a use case says happened. */
export interface NewEvent {
  readonly kind: EventKind;
  readonly ids: Readonly<Record<string, string | number | null>>;
  readonly personal?: JsonObject;
}

/** The canonical JSON of this is the leaf of the log. `at` is RFC 3339 in UTC, by the clock of PostgreSQL. */
export interface EventBody {
  readonly v: 1;
  readonly kind: string;
  readonly at: string;
  readonly ids: Readonly<Record<string, string | number | null>>;
  /** SHA-256 over the salt's bytes and the canonical text of the personal part; null if there is none. */
  readonly commitment: string | null;
}

/**
 * The personal part as it is kept: the exact text that was committed to, and its salt. Without the salt nobody can test
 * a guessed name against the log once this is erased. Kept as text because jsonb refuses U+0000, which agents may send.
 */
export interface PersonalPart {
  readonly [name: string]: string;
  /** base64url */
  readonly salt: string;
  readonly json: string;
}

export function createPersonalPart(personal: JsonObject): PersonalPart {
  const json = canonicalJson(personal);
  if (json.length > PERSONAL_CHARACTERS_MAX) throw new RangeError('The personal part of an event is too long.');
  return { salt: randomBytes(SALT_BYTES).toString('base64url'), json };
}

export function commitmentTo(part: PersonalPart): string {
  return sha256Base64url(Buffer.from(part.salt, 'base64url'), part.json);
}

export function writeEventBody(event: NewEvent, at: Date, part: PersonalPart | null): string {
  const body: EventBody = {
    v: 1,
    kind: event.kind,
    at: at.toISOString(),
    ids: event.ids,
    commitment: part === null ? null : commitmentTo(part),
  };
  const text = canonicalJson({ ...body });
  if (text.length > BODY_CHARACTERS_MAX)
    throw new RangeError(`The ids of an event of kind ${event.kind} are too long.`);
  return text;
}
