import { foldCase } from './case_folding.ts';
import type { JsonValue } from './json.ts';
import { numberProblem } from './json_number.ts';
import { quotedJsonPointer } from './json_pointer.ts';
import { JSON_BYTES_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX } from './limits.ts';
import { accepted, type Result, refused } from './result.ts';

export { caseFoldedDuplicate } from './case_folding.ts';

export interface JsonLimits {
  readonly bytesMax: number;
  readonly depthMax: number;
  readonly nodesMax: number;
  /** `refuse` for arguments of gated tools: no two names of one object may be equal but for case. */
  readonly caseFoldedNames: 'accept' | 'refuse';
}

/** `message` says where (offset in UTF-16 code units and JSON pointer) and what; it repeats names, never values. */
export interface JsonProblem {
  readonly code: 'json_invalid' | 'body_too_large';
  readonly message: string;
}

const DEFAULT_LIMITS: JsonLimits = {
  bytesMax: JSON_BYTES_MAX,
  depthMax: JSON_DEPTH_MAX,
  nodesMax: JSON_NODES_MAX,
  caseFoldedNames: 'accept',
};

// With ignoreBOM a byte order mark stays in the text, where it can be refused.
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses I-JSON (RFC 7493) so that every reader sees one and the same value, and refuses everything else: JSON.parse
 * keeps the last of two equal names, turns 1e400 into Infinity and keeps lone surrogates. Linear in the input.
 */
export function parseStrictJson(
  input: Uint8Array | string,
  limits: Partial<JsonLimits> = {},
): Result<JsonValue, JsonProblem> {
  const allLimits = { ...DEFAULT_LIMITS, ...limits };
  const bytes = typeof input === 'string' ? Buffer.byteLength(input) : input.byteLength;
  if (bytes > allLimits.bytesMax) {
    return refused({
      code: 'body_too_large',
      message: `The JSON has ${bytes} bytes; at most ${allLimits.bytesMax} are read.`,
    });
  }
  const text = typeof input === 'string' ? input : decode(input);
  if (text === null) return refused({ code: 'json_invalid', message: 'The JSON is not valid UTF-8.' });
  if (text.charCodeAt(0) === 0xfeff) {
    return refused({ code: 'json_invalid', message: 'The JSON starts with a byte order mark; send it without one.' });
  }
  if (!text.isWellFormed()) {
    return refused({
      code: 'json_invalid',
      message: 'The JSON holds a lone surrogate, which no valid UTF-8 can carry.',
    });
  }
  return new Scanner(text, allLimits).document();
}

function decode(bytes: Uint8Array): string | null {
  try {
    return UTF8.decode(bytes);
  } catch {
    return null;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const FOUR_HEX_DIGITS = /^[0-9a-fA-F]{4}$/;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** Reads one document. A method that fails returns undefined and leaves the reason in `problem`. */
class Scanner {
  readonly #text: string;
  readonly #limits: JsonLimits;
  readonly #path: (string | number)[] = [];
  #at = 0;
  #nodes = 0;
  #problem: JsonProblem | null = null;

  constructor(text: string, limits: JsonLimits) {
    this.#text = text;
    this.#limits = limits;
  }

  document(): Result<JsonValue, JsonProblem> {
    this.#skipWhitespace();
    const value = this.#value();
    if (value !== undefined) {
      this.#skipWhitespace();
      if (this.#at < this.#text.length) this.#fail('there is something after the end of the value');
    }
    return this.#problem === null && value !== undefined ? accepted(value) : refused(this.#problem!);
  }

  #value(): JsonValue | undefined {
    this.#nodes += 1;
    if (this.#nodes > this.#limits.nodesMax) return this.#fail(`there are more than ${this.#limits.nodesMax} values`);
    const unit = this.#text.charCodeAt(this.#at);
    if (unit === QUOTE) return this.#string();
    if (unit === OPEN_BRACE) return this.#object();
    if (unit === OPEN_BRACKET) return this.#array();
    if (unit === MINUS || (unit >= ZERO && unit <= NINE)) return this.#number();
    return this.#literal();
  }

  #object(): JsonValue | undefined {
    if (!this.#enter()) return undefined;
    const depth = this.#path.length - 1;
    const object: Record<string, JsonValue> = {};
    const folded = this.#limits.caseFoldedNames === 'refuse' ? new Set<string>() : null;
    this.#at += 1;
    this.#skipWhitespace();
    if (this.#text.charCodeAt(this.#at) === CLOSE_BRACE) return this.#leave(object);
    while (true) {
      const name = this.#name(depth, object, folded);
      if (name === undefined) return undefined;
      this.#skipWhitespace();
      if (this.#text.charCodeAt(this.#at) !== COLON) return this.#fail('a colon is missing after the name');
      this.#at += 1;
      this.#skipWhitespace();
      const value = this.#value();
      if (value === undefined) return undefined;
      object[name] = value;
      this.#skipWhitespace();
      const unit = this.#text.charCodeAt(this.#at);
      if (unit === CLOSE_BRACE) return this.#leave(object);
      if (unit !== COMMA) return this.#fail('a comma or a closing brace is missing');
      this.#at += 1;
      this.#skipWhitespace();
    }
  }

  #name(depth: number, object: Record<string, JsonValue>, folded: Set<string> | null): string | undefined {
    if (this.#text.charCodeAt(this.#at) !== QUOTE) return this.#fail('a name in quotes is missing');
    const start = this.#at;
    const name = this.#string();
    if (name === undefined) return undefined;
    this.#path[depth] = name;
    if (name === '__proto__') return this.#fail('the name __proto__ is not allowed', start);
    if (Object.hasOwn(object, name)) return this.#fail('the name appears twice in one object', start);
    if (folded !== null) {
      const foldedName = foldCase(name);
      if (folded.has(foldedName)) return this.#fail('the name equals another one but for case', start);
      folded.add(foldedName);
    }
    return name;
  }

  #array(): JsonValue | undefined {
    if (!this.#enter()) return undefined;
    const depth = this.#path.length - 1;
    const array: JsonValue[] = [];
    this.#at += 1;
    this.#skipWhitespace();
    if (this.#text.charCodeAt(this.#at) === CLOSE_BRACKET) return this.#leave(array);
    while (true) {
      this.#path[depth] = array.length;
      const value = this.#value();
      if (value === undefined) return undefined;
      array.push(value);
      this.#skipWhitespace();
      const unit = this.#text.charCodeAt(this.#at);
      if (unit === CLOSE_BRACKET) return this.#leave(array);
      if (unit !== COMMA) return this.#fail('a comma or a closing bracket is missing');
      this.#at += 1;
      this.#skipWhitespace();
    }
  }

  #enter(): boolean {
    if (this.#path.length >= this.#limits.depthMax) {
      this.#fail(`objects and arrays are nested deeper than ${this.#limits.depthMax}`);
      return false;
    }
    this.#path.push('');
    return true;
  }

  #leave<Container>(container: Container): Container {
    this.#at += 1;
    this.#path.pop();
    return container;
  }

  #string(): string | undefined {
    const text = this.#text;
    const start = this.#at + 1;
    let at = start;
    while (true) {
      const unit = text.charCodeAt(at);
      if (unit === QUOTE) break;
      if (unit === BACKSLASH) return this.#stringWithEscapes(start, at);
      // NaN, past the end, fails this comparison too.
      if (!(unit >= 0x20)) return this.#unfinishedString(at);
      at += 1;
    }
    this.#at = at + 1;
    return text.slice(start, at);
  }

  #stringWithEscapes(start: number, firstEscape: number): string | undefined {
    const text = this.#text;
    const pieces: string[] = [];
    let pieceStart = start;
    let at = firstEscape;
    while (true) {
      const unit = text.charCodeAt(at);
      if (unit === QUOTE) break;
      if (!(unit >= 0x20)) return this.#unfinishedString(at);
      if (unit !== BACKSLASH) {
        at += 1;
        continue;
      }
      const escaped = this.#escape(at);
      if (escaped === undefined) return undefined;
      pieces.push(text.slice(pieceStart, at), escaped);
      at += text.charCodeAt(at + 1) === 0x75 ? 6 : 2;
      pieceStart = at;
    }
    pieces.push(text.slice(pieceStart, at));
    const value = pieces.join('');
    if (!value.isWellFormed()) return this.#fail('the string holds a lone surrogate', start - 1);
    this.#at = at + 1;
    return value;
  }

  #escape(at: number): string | undefined {
    const letter = this.#text.charAt(at + 1);
    if (letter === 'u') {
      const digits = this.#text.slice(at + 2, at + 6);
      if (!FOUR_HEX_DIGITS.test(digits)) return this.#fail('\\u is not followed by four hexadecimal digits', at);
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    return ESCAPES[letter] ?? this.#fail('the escape is not one that JSON has', at);
  }

  #unfinishedString(at: number): undefined {
    return this.#fail(
      at < this.#text.length ? 'the string holds a control character; escape it' : 'the string does not end',
      at,
    );
  }

  #number(): number | undefined {
    NUMBER.lastIndex = this.#at;
    const written = NUMBER.exec(this.#text)?.[0];
    if (written === undefined) return this.#fail('the number is not written as JSON writes numbers');
    const value = Number(written);
    // Most numbers: as written is how a double writes itself, so nothing can have changed.
    if (String(value) !== written || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
      const problem = numberProblem(written, value);
      if (problem !== null) return this.#fail(problem);
    }
    this.#at += written.length;
    return value;
  }

  #literal(): boolean | null | undefined {
    if (this.#text.startsWith('true', this.#at)) {
      this.#at += 4;
      return true;
    }
    if (this.#text.startsWith('false', this.#at)) {
      this.#at += 5;
      return false;
    }
    if (this.#text.startsWith('null', this.#at)) {
      this.#at += 4;
      return null;
    }
    return this.#fail(this.#at < this.#text.length ? 'no JSON value starts like this' : 'the JSON ends too early');
  }

  #skipWhitespace(): void {
    while (true) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      this.#at += 1;
    }
  }

  #fail(what: string, at = this.#at): undefined {
    const place = this.#path.length === 0 ? '' : ` in ${quotedJsonPointer(this.#path)}`;
    this.#problem ??= { code: 'json_invalid', message: `The JSON is refused at offset ${at}${place}: ${what}.` };
    return undefined;
  }
}
