import type { Readable } from 'node:stream';
import type { Logger } from '../../kernel/logger.ts';
import {
  STDERR_LINE_CHARACTERS_MAX,
  STDERR_LINES_PER_SECOND_MAX,
  STDERR_RING_BYTES_MAX,
  STDERR_TAIL_CHARACTERS_MAX,
} from '../limits.ts';

const SECOND_MS = 1_000;

export interface StderrDrain {
  /** The last words, for the log line of an exit. */
  tail(): string;
}

/**
 * Reads stderr all the time, since a program whose stderr nobody reads hangs when the pipe is full. Keeps the last bytes
 * only, and logs so many lines a second.
 */
export function drainStderr(stderr: Readable, log: Logger): StderrDrain {
  let ring = Buffer.alloc(0);
  let lineStart = '';
  let second = 0;
  let lines = 0;
  let skipped = 0;
  const logLine = (line: string) => {
    const now = Math.floor(performance.now() / SECOND_MS);
    if (now !== second) {
      if (skipped > 0) log.warn({ skipped }, 'The tool server wrote more to stderr than is logged.');
      second = now;
      lines = 0;
      skipped = 0;
    }
    lines += 1;
    if (lines > STDERR_LINES_PER_SECOND_MAX) skipped += 1;
    else log.info({ stderr: line.slice(0, STDERR_LINE_CHARACTERS_MAX) }, 'The tool server wrote to stderr.');
  };
  stderr.on('data', (chunk: Buffer) => {
    ring = Buffer.concat([ring, chunk]).subarray(-STDERR_RING_BYTES_MAX);
    const pieces = (lineStart + chunk.toString('utf8')).split('\n');
    lineStart = (pieces.pop() ?? '').slice(0, STDERR_LINE_CHARACTERS_MAX);
    for (const piece of pieces) if (piece.trim() !== '') logLine(piece);
  });
  stderr.on('error', () => {});
  return { tail: () => ring.toString('utf8').slice(-STDERR_TAIL_CHARACTERS_MAX) };
}
