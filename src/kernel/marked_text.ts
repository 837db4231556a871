import { lookAlikes } from './look_alikes.ts';

/**
 * Text from outside, cut where a reader could be deceived. Nothing is changed or left out: the `text` of all segments,
 * joined, is the text that came in.
 */
export type Segment =
  | { readonly kind: 'plain'; readonly text: string }
  | { readonly kind: 'line_break'; readonly text: '\n' | '\r\n' }
  | { readonly kind: 'tab'; readonly text: '\t' }
  | { readonly kind: 'marked'; readonly what: MarkKind; readonly text: string; readonly label: string };

/** Why a piece is marked; each kind deceives in its own way. */
export const MARK_KINDS = [
  'direction',
  'invisible',
  'tag',
  'control',
  'look_alike',
  'not_normal',
  'space',
  'unassigned',
  'padding',
] as const;
export type MarkKind = (typeof MARK_KINDS)[number];

/** Blank runs as long as this push text out of sight. */
const PADDING_SPACES = 60;
const PADDING_LINES = 12;
/** More marks than this on one letter cover the lines around it. */
const COMBINING_MARKS_MAX = 2;

const ORDINARY = /^[\x20-\x7e\n\t]*$/;
const PADDING = new RegExp(` {${PADDING_SPACES},}|(?:[ \\t]*\\r?\\n){${PADDING_LINES},}`, 'g');

// Order matters: the first that fits names the reason.
const SINGLE: readonly (readonly [MarkKind, RegExp])[] = [
  ['direction', /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u],
  ['tag', /[\u{e0000}-\u{e007f}]/u],
  ['control', /\p{Cc}/u],
  ['invisible', /[\p{Default_Ignorable_Code_Point}\p{Cf}\u2800]/u],
  ['space', /\p{Z}/u],
  ['unassigned', /[\p{Co}\p{Cn}\p{Cs}]/u],
];

export function markText(text: string): Segment[] {
  const segments: Segment[] = [];
  let from = 0;
  for (const padding of text.matchAll(PADDING)) {
    markPart(text.slice(from, padding.index), segments);
    segments.push({ kind: 'marked', what: 'padding', text: padding[0], label: paddingLabel(padding[0]) });
    from = padding.index + padding[0].length;
  }
  markPart(text.slice(from), segments);
  return segments;
}

/** The same on one line, for places without markup: a picture, a title, a mail subject. */
export function markedLine(text: string): string {
  return markText(text)
    .map((segment) =>
      segment.kind === 'plain' ? segment.text : segment.kind === 'marked' ? `⟨${segment.label}⟩` : ' ',
    )
    .join('');
}

function markPart(text: string, segments: Segment[]): void {
  if (text === '') return;
  if (ORDINARY.test(text)) pushPlain(text, segments);
  else pushMarked(text, segments);
}

function pushPlain(text: string, segments: Segment[]): void {
  for (const piece of text.split(/(\r\n|\n|\t)/)) {
    if (piece === '\n' || piece === '\r\n') segments.push({ kind: 'line_break', text: piece });
    else if (piece === '\t') segments.push({ kind: 'tab', text: piece });
    else if (piece !== '') segments.push({ kind: 'plain', text: piece });
  }
}

/** Collects characters; runs of one reason and one character become one mark, and so do runs of tag characters. */
function pushMarked(text: string, segments: Segment[]): void {
  const characters = [...text];
  const alike = lookAlikes(characters);
  const kinds = characters.map(
    (_character, index) => reason(characters, index) ?? (alike.has(index) ? 'look_alike' : null),
  );
  let index = 0;
  while (index < characters.length) {
    const kind = kinds[index]!;
    let end = index + 1;
    while (
      end < characters.length &&
      kinds[end] === kind &&
      (kind === null || joins(kind, characters[index]!, characters[end]!))
    )
      end += 1;
    const piece = characters.slice(index, end).join('');
    if (kind === null) pushPlain(piece, segments);
    else segments.push({ kind: 'marked', what: kind, text: piece, label: label(kind, characters.slice(index, end)) });
    index = end;
  }
}

function joins(kind: MarkKind, first: string, next: string): boolean {
  return kind === 'tag' || first === next;
}

function reason(characters: readonly string[], index: number): MarkKind | null {
  const character = characters[index]!;
  const before = characters[index - 1] ?? '';
  if (character <= '\x7e' && character >= ' ') return null;
  if (character === '\n' || character === '\t') return null;
  if (character === '\r' && characters[index + 1] === '\n') return null;
  // The sign that asks for the coloured form of an emoji is what keyboards send.
  if (character === '\ufe0f' && /\p{Extended_Pictographic}/u.test(before)) return null;
  for (const [kind, pattern] of SINGLE) if (pattern.test(character)) return kind;
  if (isNotNormal(characters, index)) return 'not_normal';
  return null;
}

function isNotNormal(characters: readonly string[], index: number): boolean {
  const character = characters[index]!;
  if (character.normalize('NFC') !== character) return true;
  const pair = (characters[index - 1] ?? '') + character;
  if (pair.normalize('NFC') !== pair) return true;
  const piled = characters.slice(Math.max(0, index - COMBINING_MARKS_MAX), index + 1);
  return piled.length > COMBINING_MARKS_MAX && piled.every((one) => /\p{Mn}/u.test(one));
}

function label(kind: MarkKind, characters: readonly string[]): string {
  const first = characters[0]!;
  if (kind === 'tag') return `${characters.length} tag characters ${JSON.stringify(characters.map(untagged).join(''))}`;
  const point = `U+${first.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
  const times = characters.length > 1 ? ` ×${characters.length}` : '';
  return kind === 'look_alike' ? `${first} ${point}${times}` : `${point}${times}`;
}

/** A tag character hides the ASCII character 0xE0000 below it. */
function untagged(character: string): string {
  const hidden = character.codePointAt(0)! - 0xe0000;
  return hidden >= 0x20 && hidden < 0x7f ? String.fromCodePoint(hidden) : '·';
}

function paddingLabel(run: string): string {
  const lines = run.split('\n').length - 1;
  return lines > 0 ? `${lines} blank lines` : `${run.length} spaces`;
}
