import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import type { StepUpView } from '../model/step_up_view.ts';
import { LONG_VALUE_CHARACTERS, LONG_VALUE_LINES } from './limits.ts';
import { plural, size } from './words.ts';

/** One value of the arguments with its full name, as `edits[0].newText`. Every leaf has a row; nothing is cut. */
export interface ArgumentRow {
  readonly name: string;
  readonly text: string;
  /** What kind of value it is: the text "12" and the number 12 must not look the same. */
  readonly type: string;
  readonly isText: boolean;
  readonly isLong: boolean;
}

/** What a call would run with, as one approves it: arguments, answers already given to the tool, facts behind references. */
export interface CallRows {
  readonly arguments: readonly ArgumentRow[];
  readonly answers: readonly ArgumentRow[];
  readonly facts: readonly ArgumentRow[];
  readonly all: readonly ArgumentRow[];
}

export function callRows(view: Pick<StepUpView, 'arguments' | 'inputResponses' | 'facts' | 'tool'>): CallRows {
  const parts = {
    arguments: argumentRows(inOrder(view.arguments ?? {}, view.tool.argumentNames)),
    answers: view.inputResponses === null ? [] : argumentRows({ answers: view.inputResponses }),
    facts: argumentRows(view.facts),
  };
  return { ...parts, all: [...parts.arguments, ...parts.answers, ...parts.facts] };
}

/** The canonical bytes are sorted by name; people read `path` before `content`. */
function inOrder(value: JsonObject, names: readonly string[]): JsonObject {
  const known = names.filter((name) => Object.hasOwn(value, name));
  const rest = Object.keys(value).filter((name) => !known.includes(name));
  return Object.fromEntries([...known, ...rest].map((name) => [name, value[name]]));
}

const PLAIN_NAME = /^[A-Za-z_][\w-]*$/;

export function argumentRows(value: JsonObject): ArgumentRow[] {
  const rows: ArgumentRow[] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) collect(PLAIN_NAME.test(name) ? name : JSON.stringify(name), member, rows);
  }
  return rows;
}

function collect(name: string, value: JsonValue, rows: ArgumentRow[]): void {
  if (typeof value === 'string') rows.push(textRow(name, value));
  else if (value === null || typeof value !== 'object') rows.push(plainRow(name, String(value), scalarType(value)));
  else if (Array.isArray(value)) collectList(name, value, rows);
  else collectObject(name, value as JsonObject, rows);
}

function collectList(name: string, items: readonly JsonValue[], rows: ArgumentRow[]): void {
  if (items.length === 0) rows.push(plainRow(name, '[ ]', 'empty list'));
  else if (items.every((item) => item === null || typeof item === 'number' || typeof item === 'boolean')) {
    rows.push(plainRow(name, canonicalJson(items), `list of ${items.length}`));
  } else for (const [index, item] of items.entries()) collect(`${name}[${index}]`, item, rows);
}

function collectObject(name: string, value: JsonObject, rows: ArgumentRow[]): void {
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  if (members.length === 0) rows.push(plainRow(name, '{ }', 'empty object'));
  for (const [member, inner] of members) {
    collect(PLAIN_NAME.test(member) ? `${name}.${member}` : `${name}[${JSON.stringify(member)}]`, inner!, rows);
  }
}

function textRow(name: string, text: string): ArgumentRow {
  const lines = text.split('\n').length;
  const isLong = text.length > LONG_VALUE_CHARACTERS || lines > LONG_VALUE_LINES;
  const bytes = Buffer.byteLength(text);
  const length = lines > 1 ? `text, ${plural(lines, 'line')}, ${size(bytes)}` : `text, ${size(bytes)}`;
  return {
    name,
    text,
    type: text === '' ? 'empty text' : isLong ? `${length}: scroll to read it all` : length,
    isText: true,
    isLong,
  };
}

function plainRow(name: string, text: string, type: string): ArgumentRow {
  return { name, text, type, isText: false, isLong: text.length > LONG_VALUE_CHARACTERS };
}

function scalarType(value: null | boolean | number): string {
  if (value === null) return 'nothing (null)';
  return typeof value === 'boolean' ? 'true or false' : 'number';
}
