import { MESSAGE_BYTES_MAX, UNREAD_BYTES_MAX } from './limits.ts';

/** One event or comment of an event stream. */
export interface StreamBlock {
  /** As it came, with the blank line that ends it. */
  readonly raw: string;
  /** The lines that carry no data: comments, event names and ids. */
  readonly otherLines: readonly string[];
  /** Null for a comment. */
  readonly data: string | null;
}

/** Reads server-sent events (HTML Living Standard §9.2.6) in order. Throws on one that is too long. */
export async function* readBlocks(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamBlock> {
  const decoder = new TextDecoder();
  let rest = '';
  let lines: string[] = [];
  let characters = 0;
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(chunk, { stream: true });
    // A carriage return at the very end may be half of a line end.
    const parts = rest.split(/\r\n|\n|\r(?!$)/);
    rest = parts.pop() ?? '';
    for (const line of parts) {
      characters += line.length;
      if (line !== '') lines.push(line);
      else if (lines.length > 0) {
        yield blockOf(lines);
        lines = [];
        characters = 0;
      }
    }
    if (characters + rest.length > MESSAGE_BYTES_MAX) throw new RangeError('An event is longer than a message may be.');
  }
}

function blockOf(lines: readonly string[]): StreamBlock {
  const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(line[5] === ' ' ? 6 : 5));
  return {
    raw: `${lines.join('\n')}\n\n`,
    otherLines: lines.filter((line) => !line.startsWith('data:')),
    data: data.length === 0 ? null : data.join('\n'),
  };
}

export function messageBlock(text: string): string {
  return `event: message\ndata: ${text}\n\n`;
}

export interface EventStream {
  readonly response: Response;
  /** Sends one block; does nothing once the reader has gone. */
  send(block: string): void;
  end(): void;
}

/** A response of server-sent events that we write. `onGone` is called when the reader goes before the end. */
export function eventStream(onGone: () => void): EventStream {
  const encoder = new TextEncoder();
  let isOpen = true;
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const source: UnderlyingDefaultSource<Uint8Array> = {
    start(started) {
      controller = started;
    },
    cancel() {
      isOpen = false;
      onGone();
    },
  };
  const body = new ReadableStream(source, new ByteLengthQueuingStrategy({ highWaterMark: UNREAD_BYTES_MAX }));
  const headers = {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    // Reverse proxies that buffer would hold back the progress that keeps the call alive.
    'x-accel-buffering': 'no',
  };
  return {
    response: new Response(body, { headers }),
    send(block) {
      if (!isOpen) return;
      controller.enqueue(encoder.encode(block));
      if ((controller.desiredSize ?? 0) > 0) return;
      isOpen = false;
      controller.error(new RangeError('The reader of a stream takes nothing.'));
      onGone();
    },
    end() {
      if (isOpen) controller.close();
      isOpen = false;
    },
  };
}

export function isEventStream(response: Response): boolean {
  return mediaType(response) === 'text/event-stream';
}

export function isJson(response: Response): boolean {
  return mediaType(response) === 'application/json';
}

function mediaType(response: Response): string | undefined {
  return response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
}

/**
 * The same response with each message as `rewrite` gives it back; what it gives back unchanged passes byte for byte,
 * comments (keep-alives) too.
 */
export async function rewriteMessages(response: Response, rewrite: (text: string) => string): Promise<Response> {
  const { status, body } = response;
  const headers = new Headers(response.headers);
  headers.delete('content-length');
  if (body !== null && isEventStream(response)) {
    return new Response(streamOf(rewriteBlocks(body, rewrite)), { status, headers });
  }
  if (body !== null && isJson(response)) return new Response(rewrite(await response.text()), { status, headers });
  return response;
}

async function* rewriteBlocks(
  body: ReadableStream<Uint8Array>,
  rewrite: (text: string) => string,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const block of readBlocks(body)) {
    const text = block.data === null ? null : rewrite(block.data);
    if (text === block.data) yield encoder.encode(block.raw);
    else yield encoder.encode(`${[...block.otherLines, `data: ${text}`].join('\n')}\n\n`);
  }
}

function streamOf(chunks: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await chunks.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await chunks.return(undefined);
    },
  });
}
