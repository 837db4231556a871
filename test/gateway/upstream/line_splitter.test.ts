import { expect, test } from 'vitest';
import { splitLines } from '../../../src/gateway/upstream/line_splitter.ts';

function collect(bytesMax: number) {
  const lines: string[] = [];
  const tooLong: true[] = [];
  const push = splitLines(
    bytesMax,
    (line) => lines.push(line),
    () => tooLong.push(true),
  );
  return { lines, tooLong, push };
}

test('lines come whole however the bytes are cut, also within a character', () => {
  const bytes = Buffer.from('één\n\n{"a":"🎈"}\nrest');
  for (let size = 1; size < bytes.length; size += 1) {
    const { lines, push } = collect(100);
    for (let start = 0; start < bytes.length; start += size) push(bytes.subarray(start, start + size));
    expect(lines).toEqual(['één', '', '{"a":"🎈"}']);
  }
});

test('a line over the limit is told once, and nothing after it is read', () => {
  const { lines, tooLong, push } = collect(4);
  push(Buffer.from('1234\n12'));
  push(Buffer.from('345'));
  push(Buffer.from('\nok\n'));
  expect(lines).toEqual(['1234']);
  expect(tooLong).toHaveLength(1);
});
