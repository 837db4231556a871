import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import type { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { createDpopProof, type DpopKey } from '../wire/dpop_rfc9449.ts';
import { refusalBodySchema } from '../wire/guard_api.ts';
import { REFUSALS, type Refusal, type RefusalCode } from '../wire/refusals.ts';
import type { GuardTokenSource } from './guard_token.ts';
import { IssuerOutage } from './issuer_outage.ts';
import {
  ISSUER_ANSWER_BYTES_MAX,
  ISSUER_CONNECTIONS_MAX,
  ISSUER_KEEP_ALIVE_MS,
  ISSUER_TIMEOUT_MS,
  ISSUER_WAIT_CONNECTIONS_MAX,
  PROOF_ATTEMPTS_MAX,
  PROOF_RETRY_MS,
  TOKEN_ATTEMPTS_MAX,
} from './limits.ts';

export interface IssuerRequest<Schema extends z.ZodType> {
  readonly method: 'GET' | 'POST';
  /** Below the issuer, with its query. */
  readonly path: string;
  readonly body?: object;
  readonly answer: Schema;
  /** The body carries a caller's token, which may be what the issuer refuses with 401. */
  readonly carriesCaller?: boolean;
  /** A long-poll has connections and time of its own. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
  /** W3C Trace Context of the call this is about. */
  readonly traceparent?: string | undefined;
}

export interface IssuerLink {
  /** Refusals of the issuer are values. Throws IssuerOutage when there is no answer that can be trusted. */
  call<Schema extends z.ZodType>(request: IssuerRequest<Schema>): Promise<Result<z.infer<Schema>, Refusal>>;
  close(): Promise<void>;
}

interface RawAnswer {
  readonly status: number;
  readonly isOwnCredential: boolean;
  readonly nonce: string | undefined;
  readonly body: Buffer;
}

/** The guard's connections to the issuer: kept alive, authenticated by a DPoP-bound token and a proof per request. */
export function issuerLink(issuer: string, token: GuardTokenSource, dpopKey: DpopKey): IssuerLink {
  const { origin, pathname } = new URL(issuer);
  const prefix = pathname === '/' ? '' : pathname;
  const keepAlive = { keepAliveTimeout: ISSUER_KEEP_ALIVE_MS, connect: { timeout: ISSUER_TIMEOUT_MS } };
  const calls = new Pool(origin, { ...keepAlive, connections: ISSUER_CONNECTIONS_MAX });
  const waits = new Pool(origin, { ...keepAlive, connections: ISSUER_WAIT_CONNECTIONS_MAX });
  let nonce: string | undefined;

  async function send(request: IssuerRequest<z.ZodType>, accessToken: string): Promise<RawAnswer> {
    const path = `${prefix}${request.path}`;
    const proof = await createDpopProof(dpopKey, { htm: request.method, htu: `${origin}${path}`, accessToken, nonce });
    const timeoutMs = ISSUER_TIMEOUT_MS + (request.waitMs ?? 0);
    try {
      const response = await (request.waitMs === undefined ? calls : waits).request({
        method: request.method,
        path,
        headers: {
          authorization: `DPoP ${accessToken}`,
          dpop: proof,
          accept: 'application/json',
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(request.traceparent === undefined ? {} : { traceparent: request.traceparent }),
        },
        body: request.body === undefined ? null : JSON.stringify(request.body),
        headersTimeout: timeoutMs,
        bodyTimeout: ISSUER_TIMEOUT_MS,
        signal: request.signal ?? null,
      });
      const newNonce = response.headers['dpop-nonce'];
      if (typeof newNonce === 'string') nonce = newNonce;
      return {
        status: response.statusCode,
        // A caller's token is refused in the body alone; the header speaks of the token of the guard.
        isOwnCredential:
          response.statusCode === 401 &&
          (request.carriesCaller !== true || response.headers['www-authenticate'] !== undefined),
        nonce: typeof newNonce === 'string' ? newNonce : undefined,
        body: await readBounded(response.body),
      };
    } catch (error) {
      if (error instanceof IssuerOutage) throw error;
      throw new IssuerOutage(`${request.method} ${path} at the issuer failed.`, error);
    }
  }

  return {
    async call(request) {
      for (let attempt = 1; ; attempt += 1) {
        const used = await token.get();
        const answer = await send(request, used);
        if (!answer.isOwnCredential) return understand(request, answer);
        const isProofOnly = isProofRefused(answer);
        if (!isProofOnly || attempt === PROOF_ATTEMPTS_MAX) token.forget(used);
        if (attempt === (isProofOnly ? PROOF_ATTEMPTS_MAX : TOKEN_ATTEMPTS_MAX)) {
          throw new IssuerOutage('The issuer refuses the token of this guard. Check that its registration is active.');
        }
        // The issuer's memory of used proofs began anew, and by our clock that lies ahead.
        if (isProofOnly && attempt > 1) await sleep(PROOF_RETRY_MS);
      }
    },
    async close() {
      await Promise.all([calls.destroy(), waits.destroy()]);
    },
  };
}

/** RFC 9449 §9: with a nonce in the answer only the proof was wrong; without one, our API says so in the body. */
function isProofRefused(answer: RawAnswer): boolean {
  if (answer.nonce !== undefined) return true;
  try {
    return (JSON.parse(answer.body.toString('utf8')) as { error?: unknown } | null)?.error === 'dpop_proof_invalid';
  } catch {
    return false;
  }
}

function understand<Schema extends z.ZodType>(
  request: IssuerRequest<Schema>,
  answer: RawAnswer,
): Result<z.infer<Schema>, Refusal> {
  const body = answer.body.length === 0 ? null : parse(request, answer.body);
  if (answer.status >= 200 && answer.status < 300) {
    const parsed = request.answer.safeParse(body);
    if (parsed.success) return accepted(parsed.data);
    throw new IssuerOutage(
      `${request.path} at the issuer answered what this guard does not understand. Are both up to date?`,
    );
  }
  const problem = refusalBodySchema.safeParse(body);
  if (problem.success && answer.status < 500 && isRefusalCode(problem.data.error)) {
    return refused(refusalOf(problem.data));
  }
  throw new IssuerOutage(`${request.path} at the issuer answered ${answer.status}.`);
}

// Not strict: a recorded outcome may hold numbers that strict JSON refuses, and the issuer is no adversary.
function parse(request: IssuerRequest<z.ZodType>, body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new IssuerOutage(`${request.path} at the issuer did not answer with JSON.`);
  }
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > ISSUER_ANSWER_BYTES_MAX) throw new IssuerOutage('The answer of the issuer is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function isRefusalCode(code: string): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code);
}

/** A refusal as the issuer wrote it; a code that this guard does not know yet denies as well. */
export function refusalOf(body: {
  error: string;
  error_description: string;
  detail?: JsonObject | Record<string, unknown> | undefined;
}): Refusal {
  return {
    code: isRefusalCode(body.error) ? body.error : 'policy_denied',
    message: body.error_description,
    ...(body.detail === undefined ? {} : { detail: body.detail as JsonObject }),
  };
}
