import type { ServerResponse } from 'node:http';
import { REFUSALS, type Refusal, refusalBody } from '../wire/refusals.ts';
import { OVERLOAD_RETRY_SECONDS } from './limits.ts';

/** Turns a request away before anything was read of it. */
export type TurnAway = (response: ServerResponse) => void;

/** The answer is made once, so that sending it costs as little as can be. */
export function turningAway(refused: Refusal): TurnAway {
  const { status } = REFUSALS[refused.code];
  const body = Buffer.from(JSON.stringify(refusalBody(refused)));
  const headers = {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(body.length),
    'Cache-Control': 'no-store',
    ...(status === 503 ? { 'Retry-After': String(OVERLOAD_RETRY_SECONDS) } : {}),
  };
  return (response) => {
    response.writeHead(status, headers).end(body);
  };
}
