import { splitLines } from './line_splitter.ts';

/**
 * Reads the data of server-sent events (HTML Living Standard §9.2.6) off a byte stream. Lines end with LF or CRLF, which
 * is what MCP servers send. Event names and ids mean nothing here: the gateway never resumes a stream.
 */
export function parseEvents(
  bytesMax: number,
  onData: (data: string) => void,
  onTooLong: () => void,
): (chunk: Buffer) => void {
  let data: string[] = [];
  let characters = 0;
  let isBroken = false;
  const fail = () => {
    isBroken = true;
    data = [];
    onTooLong();
  };
  return splitLines(
    bytesMax,
    (rawLine) => {
      if (isBroken) return;
      const line = rawLine.endsWith('\r') ? rawLine.slice(0, -1) : rawLine;
      if (line === '') {
        const text = data.join('\n');
        data = [];
        characters = 0;
        if (text !== '') onData(text);
        return;
      }
      if (!line.startsWith('data:')) return;
      const value = line.slice(line[5] === ' ' ? 6 : 5);
      characters += value.length;
      if (characters > bytesMax) fail();
      else data.push(value);
    },
    fail,
  );
}
