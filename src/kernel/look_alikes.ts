/** Alphabets whose letters pass for one another. Scripts that mix with Latin in ordinary writing (Han, Kana, Hangul) are not here. */
const ALPHABETS: readonly (readonly [string, RegExp])[] = [
  ['Latin', /\p{Script=Latin}/u],
  ['Cyrillic', /\p{Script=Cyrillic}/u],
  ['Greek', /\p{Script=Greek}/u],
  ['Armenian', /\p{Script=Armenian}/u],
  ['Cherokee', /\p{Script=Cherokee}/u],
  ['Coptic', /\p{Script=Coptic}/u],
  ['Lisu', /\p{Script=Lisu}/u],
  ['Deseret', /\p{Script=Deseret}/u],
];

/** Cyrillic and Greek letters drawn like Latin ones. */
const DRAWN_LIKE_LATIN = new Set('аеорсухіјѕԁһӏԛԝАВЕЅІЈКМНОРСТХУԌԚԜΑΒΕΖΗΙΚΜΝΟΡΤΥΧονορκιυϲϳ');

/** Letters, digits and signs that were encoded a second time: full width, mathematical, and stand-ins for / . : ! and \. */
const SECOND_FORM =
  /[\uff01-\uff5e\u{1d400}-\u{1d7ff}\u2100-\u2115\u2119-\u211d\u2124\u2128\u212c-\u2134\u24b6-\u24e9\u2044\u2215\u29f8\u2216\u29f5\ufe68\u2024\ufe52\ua789\u2236\u01c3]/u;

const LETTER = /[\p{L}\p{M}\p{N}_]/u;

/** Indexes of the characters that could be taken for others: the odd ones in words of two alphabets, and second forms. */
export function lookAlikes(characters: readonly string[]): ReadonlySet<number> {
  const found = new Set<number>();
  let wordStart = -1;
  let chunkStart = -1;
  let chunkWords: (readonly [number, number])[] = [];
  for (let index = 0; index <= characters.length; index += 1) {
    const character = characters[index];
    if (character !== undefined && SECOND_FORM.test(character)) found.add(index);
    const isLetter = character !== undefined && LETTER.test(character);
    if (isLetter && wordStart < 0) wordStart = index;
    if (!isLetter && wordStart >= 0) {
      markMixed(characters, wordStart, index, found);
      chunkWords.push([wordStart, index]);
      wordStart = -1;
    }
    const endsChunk = character === undefined || /\s/u.test(character);
    if (!endsChunk && chunkStart < 0) chunkStart = index;
    if (endsChunk && chunkStart >= 0) {
      markDisguised(characters, chunkStart, index, chunkWords, found);
      chunkStart = -1;
      chunkWords = [];
    }
  }
  return found;
}

function alphabetOf(character: string): string | null {
  for (const [name, pattern] of ALPHABETS) if (pattern.test(character)) return name;
  return null;
}

/** A word of two alphabets: the letters of the rarer one are marked, and not the Latin ones when both are as frequent. */
function markMixed(characters: readonly string[], from: number, to: number, found: Set<number>): void {
  const byAlphabet = new Map<string, number[]>();
  for (let index = from; index < to; index += 1) {
    const alphabet = alphabetOf(characters[index]!);
    if (alphabet !== null) (byAlphabet.get(alphabet) ?? byAlphabet.set(alphabet, []).get(alphabet)!).push(index);
  }
  if (byAlphabet.size < 2) return;
  const main = [...byAlphabet].sort(
    ([nameA, a], [nameB, b]) => b.length - a.length || Number(nameB === 'Latin') - Number(nameA === 'Latin'),
  )[0]![0];
  for (const [alphabet, indexes] of byAlphabet) {
    if (alphabet !== main) for (const index of indexes) found.add(index);
  }
}

/** A whole word of foreign letters that all look Latin, joined to Latin text without a space, as in a host name or a path. */
function markDisguised(
  characters: readonly string[],
  from: number,
  to: number,
  words: readonly (readonly [number, number])[],
  found: Set<number>,
): void {
  if (!characters.slice(from, to).some((character) => /[A-Za-z]/.test(character))) return;
  for (const [start, end] of words) {
    const letters = characters.slice(start, end).filter((character) => /\p{L}/u.test(character));
    if (letters.length === 0 || !letters.every((letter) => DRAWN_LIKE_LATIN.has(letter))) continue;
    for (let index = start; index < end; index += 1) found.add(index);
  }
}
