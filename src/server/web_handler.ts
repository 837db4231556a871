import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import type { Handler } from './listen.ts';

/**
 * Serves a web-standard endpoint. Unlike the converter of the MCP SDK, which collects up to 4 MiB from anybody before it
 * asks the endpoint, this hands on the body as it comes: who may not call is told so before anything of it is kept.
 */
export function webHandler(serve: (request: Request) => Promise<Response>): Handler {
  return async (request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    await answer(response, await serve(webRequest(request, gone.signal)));
  };
}

function webRequest(request: IncomingMessage, signal: AbortSignal): Request {
  const { method = 'GET', url = '/' } = request;
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  const address = `http://${request.headers.host ?? 'localhost'}${url.startsWith('/') ? url : '/'}`;
  if (method === 'GET' || method === 'HEAD') return new Request(address, { method, headers, signal });
  const body = Readable.toWeb(request) as NodeReadableStream<Uint8Array> as unknown as BodyInit;
  return new Request(address, { method, headers, signal, body, duplex: 'half' } as RequestInit);
}

/** Waits for a reader who is slow; one who is gone ends the stream at its source. */
async function answer(response: ServerResponse, given: Response): Promise<void> {
  response.writeHead(given.status, Object.fromEntries(given.headers));
  // At once: what a stream says first may come much later.
  response.flushHeaders();
  try {
    for await (const chunk of (given.body ?? []) as AsyncIterable<Uint8Array>) {
      if (response.destroyed) return;
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end();
  } catch {
    // The status is out: only a connection that breaks off says that the rest is missing.
    response.destroy();
  }
}
