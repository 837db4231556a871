import type { IncomingMessage } from 'node:http';
import type { Ticket } from './admission.ts';
import { SLOW_BODIES_MAX, SLOW_BODY_MS } from './limits.ts';

export interface SlowBodies {
  /** Gives back the place of a request while its body drips in. */
  watch(request: IncomingMessage, ticket: Ticket): void;
}

/**
 * Nothing can be done about a request whose body is not there, so it must not keep others from being worked on. There
 * are places of their own for these; when they are all taken, the slowest is cut off.
 */
export function createSlowBodies(slowMax = SLOW_BODIES_MAX): SlowBodies {
  const slow = new Map<IncomingMessage, () => void>();
  const park = (request: IncomingMessage, ticket: Ticket) => {
    if (request.complete || request.destroyed) return;
    const [slowest] = slow.keys();
    if (slow.size >= slowMax && slowest !== undefined) {
      slow.get(slowest)?.();
      slowest.socket.destroy();
    }
    ticket.park();
    const resume = () => {
      if (!slow.delete(request)) return;
      request.removeListener('end', resume).removeListener('close', resume);
      ticket.resume();
    };
    slow.set(request, resume);
    request.once('end', resume).once('close', resume);
  };
  return {
    watch(request, ticket) {
      const { headers } = request;
      const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
      if (!hasBody || request.complete) return;
      const timer = setTimeout(() => park(request, ticket), SLOW_BODY_MS);
      request.once('close', () => clearTimeout(timer));
    },
  };
}
