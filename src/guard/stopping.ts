import { refusal } from '../wire/refusals.ts';

/** A guard that closes begins no run: it could not be brought to its end. An approval stays for the call that is made again. */
export const STOPPING = refusal(
  'unavailable',
  'This tool server is about to stop. Nothing was run: make the same call again.',
);

/** An event stream that ends, instead of breaking off, when the guard closes. Its reader opens another one. */
export function endWithGuard(response: Response, closing: AbortSignal): Response {
  const { body, status, headers } = response;
  if (body === null) return response;
  const reader = body.getReader();
  let stop = () => {};
  const ended = new ReadableStream<Uint8Array>({
    start(controller) {
      stop = () => {
        controller.close();
        void reader.cancel().catch(() => {});
      };
      if (closing.aborted) stop();
      else closing.addEventListener('abort', stop, { once: true });
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      if (closing.aborted) return;
      if (!done) return controller.enqueue(value);
      closing.removeEventListener('abort', stop);
      controller.close();
    },
    async cancel(reason) {
      closing.removeEventListener('abort', stop);
      await reader.cancel(reason);
    },
  });
  return new Response(ended, { status, headers });
}
