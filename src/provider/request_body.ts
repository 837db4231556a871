import type { IncomingMessage } from 'node:http';
import { parse } from 'node:querystring';
import getRawBody from 'raw-body';
import { ENGINE_BODY_BYTES_MAX } from './limits.ts';

export type FormFields = ReturnType<typeof parse>;

/** The form of a request, read before the engine does; undefined if there is none that it would read. */
export async function readForm(request: IncomingMessage): Promise<FormFields | undefined> {
  const type = request.headers['content-type'] ?? '';
  const length = request.headers['content-length'];
  const isForm = /^application\/x-www-form-urlencoded\s*(;|$)/i.test(type);
  if (!isForm || Number(length ?? 0) > ENGINE_BODY_BYTES_MAX) return undefined;
  try {
    const body = await getRawBody(request, {
      limit: ENGINE_BODY_BYTES_MAX,
      ...(length === undefined ? {} : { length }),
    });
    handOver(request, body);
    return parse(body.toString('utf8'));
  } catch {
    // Too large or cut off: the engine meets the same, and has words for it.
    return undefined;
  }
}

/** Gives the engine a body in place of the one that was read: its own reader asks the request for nothing else. */
export function handOver(request: IncomingMessage, body: Buffer): void {
  request.headers['content-length'] = String(body.byteLength);
  delete request.headers['transfer-encoding'];
  Object.defineProperties(request, {
    readable: { value: true, configurable: true },
    iterator: { value: () => chunks(body), configurable: true },
  });
}

async function* chunks(body: Buffer): AsyncGenerator<Buffer> {
  if (body.byteLength > 0) yield body;
}
