import { expect, test } from 'vitest';
import { parseKeepingNumbers } from '../../../src/gateway/upstream/lossless_json.ts';

test.each([
  '9007199254740993',
  '1e400',
  '-0',
  '-0.0',
  '1E5',
  '0.1000000000000000055',
  '123456789012345678901234567890',
])('%s is written again as it was read, in any place', (number) => {
  const text = `{"a":[${number},{"b":${number}}],"c":${number}}`;
  expect(JSON.stringify(parseKeepingNumbers(text))).toBe(text);
});

test('what a double holds comes back as plain numbers', () => {
  expect(parseKeepingNumbers('{"a":1.5,"b":-12,"c":"9007199254740993"}')).toEqual({
    a: 1.5,
    b: -12,
    c: '9007199254740993',
  });
});
