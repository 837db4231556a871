import { describe, expect, test } from 'vitest';
import { type MarkKind, markedLine, markText } from '../../src/kernel/marked_text.ts';

function kinds(text: string): MarkKind[] {
  return markText(text).flatMap((segment) => (segment.kind === 'marked' ? [segment.what] : []));
}

const ODD: readonly (readonly [string, MarkKind, string, string])[] = [
  ['a sign that reverses the direction', 'direction', 'gpj.\u202eexe', 'gpj.⟨U+202E⟩exe'],
  ['a zero-width space', 'invisible', 'pay\u200bpal', 'pay⟨U+200B⟩pal'],
  ['a run of one invisible character', 'invisible', 'a\u2060\u2060\u2060b', 'a⟨U+2060 ×3⟩b'],
  ['a Hangul filler', 'invisible', 'a\u3164b', 'a⟨U+3164⟩b'],
  ['a variation selector that carries data', 'invisible', 'a\u{e0101}b', 'a⟨U+E0101⟩b'],
  ['tag characters', 'tag', 'x\u{e0072}\u{e006d}y', 'x⟨2 tag characters "rm"⟩y'],
  ['the escape of terminal codes', 'control', '\u001b[31mred', '⟨U+001B⟩[31mred'],
  ['a lone carriage return', 'control', 'safe\rrm', 'safe⟨U+000D⟩rm'],
  ['a C1 control', 'control', 'a\u009bb', 'a⟨U+009B⟩b'],
  ['a NUL', 'control', 'a\u0000b', 'a⟨U+0000⟩b'],
  ['a Cyrillic letter in a Latin word', 'look_alike', 'p\u0430ypal', 'p⟨\u0430 U+0430⟩ypal'],
  ['a full-width letter', 'look_alike', 'ｒm', '⟨ｒ U+FF52⟩m'],
  ['a slash that is none', 'look_alike', 'a\u2215b', 'a⟨\u2215 U+2215⟩b'],
  ['a letter and a separate accent', 'not_normal', 'cafe\u0301', 'cafe⟨U+0301⟩'],
  ['a no-break space', 'space', 'a\u00a0b', 'a⟨U+00A0⟩b'],
  ['a line separator', 'space', 'a\u2028b', 'a⟨U+2028⟩b'],
  ['a private character', 'unassigned', 'a\ue000b', 'a⟨U+E000⟩b'],
  ['a lone surrogate', 'unassigned', 'a\ud800b', 'a⟨U+D800⟩b'],
  ['many spaces', 'padding', `a${' '.repeat(100)}b`, 'a⟨100 spaces⟩b'],
  ['many blank lines', 'padding', `a${'\n'.repeat(40)}b`, 'a⟨40 blank lines⟩b'],
];

describe('markText', () => {
  test.each(ODD)('marks %s', (_what, kind, text, shown) => {
    expect(new Set(kinds(text))).toEqual(new Set([kind]));
    expect(markedLine(text)).toBe(shown);
  });

  test('marks a whole word in another alphabet that is joined to Latin text', () => {
    expect(kinds('https://аррӏе.com')).toContain('look_alike');
    expect(kinds('Привет, мир')).toEqual([]);
  });

  test.each([
    'plain text, 12 % & <b>',
    'Zürich, naïve, Ærø',
    '日本語とTシャツ',
    '한국어',
    'Ελληνικά',
    '👍 ❤️',
    'a\tb\nc\r\nd',
  ])('leaves ordinary text alone: %s', (text) => expect(kinds(text)).toEqual([]));

  test('never changes or drops anything: the segments joined are the text', () => {
    const all = ODD.map(([, , text]) => text).join('\n');
    for (const text of [all, all.repeat(3), [...all].reverse().join('')]) {
      expect(
        markText(text)
          .map((segment) => segment.text)
          .join(''),
      ).toBe(text);
    }
  });

  test('stays quick on 64 KiB of odd characters', () => {
    const started = performance.now();
    markText('\u200b\u200c'.repeat(11_000));
    markText('аb'.repeat(22_000));
    markText('a\u0301'.repeat(22_000));
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
