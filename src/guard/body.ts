import { setTimeout as sleep } from 'node:timers/promises';
import { JSON_BYTES_MAX } from '../kernel/limits.ts';
import { BODY_MS_MAX } from './limits.ts';

/** Null when it is too large. */
export async function readBody(request: Request): Promise<Uint8Array | null | 'late'> {
  if (request.bodyUsed) {
    throw new TypeError(
      'The body of the request was read before the guard. Mount the guard before any body parser: it must see the bytes.',
    );
  }
  if (request.body === null) return new Uint8Array();
  // Never cancelled: that would end the connection before the answer is out. Whoever serves it cuts off the rest.
  const reader = request.body.getReader();
  const late = new AbortController();
  // Not every server that this guard is built into has a time limit of its own.
  const isLate = sleep(BODY_MS_MAX, 'late' as const, { signal: late.signal });
  isLate.catch(() => {});
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const read = await Promise.race([reader.read(), isLate]);
      if (read === 'late') return 'late';
      if (read.done) return Buffer.concat(chunks);
      bytes += read.value.byteLength;
      if (bytes > JSON_BYTES_MAX) return null;
      chunks.push(read.value);
    }
  } finally {
    late.abort();
  }
}
