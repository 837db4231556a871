import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { parseStrictJson } from '../kernel/strict_json.ts';
import type { PersonalPart } from './event_body.ts';
import { EXPORT_FORMAT } from './export.ts';

export type ExportLine =
  | { readonly is: 'header'; readonly origin: string; readonly size: number }
  | { readonly is: 'start'; readonly size: number; readonly frontier: readonly string[]; readonly note: string }
  | { readonly is: 'checkpoint'; readonly note: string }
  | {
      readonly is: 'event';
      readonly position: number;
      readonly digest: string;
      readonly body: string;
      readonly personal: PersonalPart | null;
    };

/** Reads one line of an export. Members it does not know are refused: a reader might believe them, unsigned as they are. */
export function parseExportLine(text: string): Result<ExportLine, string> {
  const parsed = parseStrictJson(text);
  if (!parsed.ok) return refused(`the next line is not strict JSON. ${parsed.refusal.message}`);
  const value = parsed.value;
  if (hasMembers(value, { format: 'string', origin: 'string', size: 'number' })) {
    if (value.format !== EXPORT_FORMAT) return refused(`the format of the next line is not ${EXPORT_FORMAT}`);
    return accepted({ is: 'header', origin: value.origin as string, size: value.size as number });
  }
  if (hasMembers(value, { start: 'number', frontier: 'object', checkpoint: 'string' })) {
    const { frontier } = value;
    if (!Array.isArray(frontier) || !frontier.every((hash) => typeof hash === 'string')) {
      return refused('the frontier of the next line is no list of hashes');
    }
    const hashes = frontier as readonly string[];
    return accepted({ is: 'start', size: value.start as number, frontier: hashes, note: value.checkpoint as string });
  }
  if (hasMembers(value, { checkpoint: 'string' })) {
    return accepted({ is: 'checkpoint', note: value.checkpoint as string });
  }
  if (!hasMembers(value, { position: 'number', digest: 'string', body: 'string', personal: 'object' })) {
    return refused('the next line is no header, start, event or checkpoint');
  }
  const { personal } = value;
  if (personal !== null && !hasMembers(personal!, { salt: 'string', json: 'string' })) {
    return refused('the personal part of the next line has another form than {salt, json}');
  }
  return accepted({
    is: 'event',
    position: value.position as number,
    digest: value.digest as string,
    body: value.body as string,
    personal: personal as PersonalPart | null,
  });
}

function hasMembers(value: JsonValue, types: Readonly<Record<string, string>>): value is JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const object = value as JsonObject;
  const names = Object.keys(types);
  return Object.keys(object).length === names.length && names.every((name) => typeof object[name] === types[name]);
}
