import type { IncomingMessage, ServerResponse } from 'node:http';
import { runInPlace } from '../kernel/parking.ts';
import { refusal } from '../wire/refusals.ts';
import type { Admission, Ticket } from './admission.ts';
import type { ClockWatch } from './clock.ts';
import { BODY_BYTES_MAX, URL_CHARACTERS_MAX } from './limits.ts';
import type { Handler } from './listen.ts';
import { clockProblem, type Readiness } from './readiness.ts';
import { type TurnAway, turningAway } from './refuse.ts';
import type { SlowBodies } from './slow_bodies.ts';

export interface FrontParts {
  readonly handler: Handler;
  readonly readiness: Readiness;
  readonly admission: Admission;
  readonly clock: ClockWatch;
  readonly slowBodies: SlowBodies;
}

const LIVE = Buffer.from('{"status":"ok"}');

/**
 * What every request passes before anything is read of it, in constant time: probes, then size, then whether this node can
 * be trusted now, then whether it has a place. Probes come by address, not by the issuer's name, and wait for nobody.
 */
export function createFront(parts: FrontParts): Handler {
  const { handler, readiness, admission, clock, slowBodies } = parts;
  const overloaded = turningAway(refusal('unavailable', 'This server works on as many requests as it can.'));
  const bodyTooLarge = turningAway(refusal('body_too_large', `A request may have ${BODY_BYTES_MAX} bytes at most.`));
  const urlTooLong = turningAway(
    refusal('request_invalid', `An address may have ${URL_CHARACTERS_MAX} characters at most.`),
  );
  return (request, response) => {
    const { url = '/' } = request;
    if (isProbe(request, '/livez')) return send(response, 200, LIVE);
    if (isProbe(request, '/readyz')) return answerReadiness(readiness, response);
    if (url.length > URL_CHARACTERS_MAX) return urlTooLong(response);
    if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MAX) return bodyTooLarge(response);
    if (!clock.isTrusted()) return untrustedClock(clock)(response);
    const ticket = admission.enter();
    if (ticket === undefined) return overloaded(response);
    return work(handler, request, response, ticket, slowBodies);
  };
}

/** The place is held until the work is done, also when nobody waits for its answer any more. */
async function work(
  handler: Handler,
  request: IncomingMessage,
  response: ServerResponse,
  ticket: Ticket,
  slowBodies: SlowBodies,
): Promise<void> {
  slowBodies.watch(request, ticket);
  try {
    await runInPlace(ticket, () => handler(request, response));
  } finally {
    ticket.leave();
  }
}

function isProbe({ method, url = '/' }: IncomingMessage, path: string): boolean {
  return (method === 'GET' || method === 'HEAD') && (url === path || url.startsWith(`${path}?`));
}

async function answerReadiness(readiness: Readiness, response: ServerResponse): Promise<void> {
  const problem = await readiness.check();
  if (problem === undefined) return send(response, 200, LIVE);
  send(response, 503, Buffer.from(JSON.stringify({ status: 'unavailable', ...problem })));
}

function send(response: ServerResponse, status: number, body: Buffer): void {
  const headers = { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': String(body.length) };
  response.writeHead(status, { ...headers, 'Cache-Control': 'no-store' }).end(body);
}

function untrustedClock(clock: ClockWatch): TurnAway {
  return turningAway(refusal('unavailable', clockProblem(clock)));
}
