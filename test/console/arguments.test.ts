import { describe, expect, test } from 'vitest';
import { argumentRows } from '../../src/console/argument_rows.ts';

const names = (value: Parameters<typeof argumentRows>[0]) =>
  argumentRows(value).map((row) => `${row.name}=${row.text} (${row.type})`);

describe('the rows of arguments', () => {
  test('every leaf has one, with its full name', () => {
    expect(names({ path: 'a', edits: [{ old: 'x', new: 'yy' }], n: 12, ok: true, none: null })).toEqual([
      'path=a (text, 1 B)',
      'edits[0].old=x (text, 1 B)',
      'edits[0].new=yy (text, 2 B)',
      'n=12 (number)',
      'ok=true (true or false)',
      'none=null (nothing (null))',
    ]);
  });

  test('text and number, empty and absent do not look the same', () => {
    expect(new Set(names({ a: '12', b: 12, c: '', d: [], e: {} }).map((row) => row.slice(2))).size).toBe(5);
  });

  test('a name that imitates another is quoted', () => {
    const rows = argumentRows({ a: { b: 'x' }, 'a.b': 'x', 'a b': { 'c"': 'x' } });
    expect(rows.map((row) => row.name)).toEqual(['a.b', '"a.b"', '"a b"["c\\""]']);
  });

  test('a list of numbers stays one row; long values say so', () => {
    expect(names({ all: [1, 2, 3] })).toEqual(['all=[1,2,3] (list of 3)']);
    expect(
      argumentRows({ short: 'a', long: 'a'.repeat(2_000), lines: 'a\n'.repeat(30) }).map((row) => row.isLong),
    ).toEqual([false, true, true]);
  });
});
