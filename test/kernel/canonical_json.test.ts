import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../src/kernel/canonical_json.ts';
import type { JsonValue } from '../../src/kernel/json.ts';
import { parseStrictJson } from '../../src/kernel/strict_json.ts';

describe('RFC 8785', () => {
  test('the sample of §3.2.2 and §3.2.4', () => {
    const sample = JSON.parse(String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`) as JsonValue;
    expect(canonicalJson(sample)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  test('names are ordered by UTF-16 code units (§3.2.3)', () => {
    const sample = JSON.parse(String.raw`{
      "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
    }`) as JsonValue;
    expect(Object.values(JSON.parse(canonicalJson(sample)) as object)).toHaveLength(7);
    expect(canonicalJson(sample).match(/"[^"]*":/g)).toEqual([
      '"\\r":',
      '"1":',
      '"\u0080":',
      '"\u00f6":',
      '"\u20ac":',
      '"\u{1f600}":',
      '"\ufb33":',
    ]);
  });

  // Appendix B: the bits of a double and its text.
  test.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('the double %s is %s', (bits, text) => {
    expect(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE())).toBe(text);
  });
});

test('members that are undefined are left out at every depth', () => {
  expect(canonicalJson({ b: undefined, a: { c: undefined, d: [{ e: undefined }] } })).toBe('{"a":{"d":[{}]}}');
});

test('the order in which members were added does not matter', () => {
  expect(canonicalJson({ b: 1, a: [{ d: 1, c: 2 }] })).toBe(canonicalJson({ a: [{ c: 2, d: 1 }], b: 1 }));
});

test.each([
  ['a lone surrogate in a value', { a: '\ud800' }],
  ['a lone surrogate in a name', { '\udc00': 1 }],
  ['NaN', [Number.NaN]],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['undefined itself', undefined],
  ['undefined in an array', [undefined]],
  ['a hole', new Array(1)],
  ['a date', { at: new Date(0) }],
  ['a map', new Map([['a', 1]])],
  ['bytes', Buffer.from('a')],
  ['a function', { a: () => 1 }],
  ['a bigint', 1n],
  ['a symbol', Symbol('a')],
])('%s throws', (_, value) => {
  expect(() => canonicalJson(value as JsonValue)).toThrow(TypeError);
});

test('a value nested too deep throws a TypeError, not a stack overflow', () => {
  let deep: JsonValue = 1;
  for (let level = 0; level < 100_000; level += 1) deep = [deep];
  expect(() => canonicalJson(deep)).toThrow('deeper than 128');
});

test('canonical text is its own canonical text and passes the strict parser', () => {
  const once = canonicalJson({ z: [0.1, -1, 1e-7, 'é\u2028"\\'], a: { '😀': null, '\ufb33': true } });
  const again = parseStrictJson(once);
  expect(again.ok && canonicalJson(again.value)).toBe(once);
});
