const NEWLINE = 10;

export type LineSplitter = (chunk: Buffer) => void;

/**
 * Cuts a byte stream into lines. A line over `bytesMax` is reported once and never kept: the caller ends the stream,
 * since an answer that cannot be read leaves its request waiting.
 */
export function splitLines(bytesMax: number, onLine: (line: string) => void, onTooLong: () => void): LineSplitter {
  let parts: Buffer[] = [];
  let length = 0;
  let isBroken = false;
  return (chunk) => {
    let start = 0;
    while (!isBroken && start < chunk.length) {
      const newline = chunk.indexOf(NEWLINE, start);
      const end = newline === -1 ? chunk.length : newline;
      if (length + end - start > bytesMax) {
        isBroken = true;
        parts = [];
        onTooLong();
        return;
      }
      if (end > start) parts.push(chunk.subarray(start, end));
      length += end - start;
      if (newline === -1) return;
      const line = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      parts = [];
      length = 0;
      start = newline + 1;
      onLine(line.toString('utf8'));
    }
  };
}
