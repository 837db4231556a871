import { expect, test } from 'vitest';
import { parseEvents } from '../../../src/gateway/upstream/sse_parser.ts';

function events(text: string, bytesMax = 100): { readonly data: string[]; readonly tooLong: number } {
  const data: string[] = [];
  let tooLong = 0;
  const parse = parseEvents(
    bytesMax,
    (text) => data.push(text),
    () => {
      tooLong += 1;
    },
  );
  for (const byte of Buffer.from(text)) parse(Buffer.from([byte]));
  return { data, tooLong };
}

test('data lines make one event; comments, ids and empty events make none', () => {
  const text =
    ': hello\r\nevent: message\r\nid: 1\r\ndata: {"a":\r\ndata:1}\r\n\r\nid: 2\ndata:\n\ndata: two\n\ndata: cut';
  expect(events(text).data).toEqual(['{"a":\n1}', 'two']);
});

test('an event of many lines is limited as one of a single line is', () => {
  expect(events(`data: ${'x'.repeat(200)}\n\n`)).toEqual({ data: [], tooLong: 1 });
  expect(events(`${'data: xxxxxxxxxx\n'.repeat(20)}\ndata: after\n\n`)).toEqual({ data: [], tooLong: 1 });
});
