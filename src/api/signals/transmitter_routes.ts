import type Router from '@koa/router';
import type { JWK } from 'jose';
import type { Context } from 'koa';
import type { JsonObject, JsonValue } from '../../kernel/json.ts';
import { whileParked } from '../../kernel/parking.ts';
import { Places } from '../../kernel/places.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { POLL_WAIT_SECONDS, POLLS_PER_STREAM_MAX } from '../../signals/limits.ts';
import { changeStatus, changeStream, NO_STREAM, type StreamOwner } from '../../signals/streams/change_stream.ts';
import { deleteStream } from '../../signals/streams/delete_stream.ts';
import { makeStream } from '../../signals/streams/make_stream.ts';
import { receiverName } from '../../signals/streams/receiver_name.ts';
import {
  findStream,
  listStreams,
  type Stream,
  streamConfiguration,
  streamStatus,
} from '../../signals/streams/stream.ts';
import { listDeadLetters, retryDeadLetters } from '../../signals/transmit/dead_letters.ts';
import { poll } from '../../signals/transmit/poll.ts';
import { requestVerification } from '../../signals/transmit/verification.ts';
import type { Store } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { pollRequestSchema } from '../../wire/set_poll_rfc8936.ts';
import {
  changeStatusSchema,
  changeStreamSchema,
  createStreamSchema,
  SSF_PATHS,
  verificationRequestSchema,
} from '../../wire/ssf_1_0.ts';
import { authenticateApiToken } from '../api_token_auth.ts';
import { answerRefusal, readJson } from '../http.ts';

export interface TransmitterParts {
  readonly store: Store;
  /** The private key that signs tokens now. */
  readonly signer: () => JWK;
  readonly allowedHosts: readonly string[];
  readonly draining: AbortSignal;
}

type Answered = Result<{ readonly status: number; readonly body: JsonValue }, Refusal>;
type Step = (ctx: Context, owner: StreamOwner, parts: TransmitterParts) => Promise<Answered>;

/** The management API of SSF 1.0 §8 and polling (RFC 8936), for machines with an API token of scope `signals`. */
export function addTransmitterRoutes(router: Router, parts: TransmitterParts): void {
  const polls = new Places(POLLS_PER_STREAM_MAX);
  const stream = `${SSF_PATHS.configuration}/:id`;
  router.post(SSF_PATHS.configuration, authenticated(parts, create));
  router.get(SSF_PATHS.configuration, authenticated(parts, read));
  router.patch(SSF_PATHS.configuration, authenticated(parts, change(false)));
  router.put(SSF_PATHS.configuration, authenticated(parts, change(true)));
  router.delete(SSF_PATHS.configuration, authenticated(parts, remove));
  router.get(SSF_PATHS.status, authenticated(parts, readStatus));
  router.post(SSF_PATHS.status, authenticated(parts, updateStatus));
  router.post(SSF_PATHS.verification, authenticated(parts, verify));
  router.post(`${stream}/poll`, authenticated(parts, pollStream(polls)));
  router.get(`${stream}/dead-letters`, authenticated(parts, deadLetters));
  router.post(`${stream}/dead-letters`, authenticated(parts, retry));
}

function authenticated(parts: TransmitterParts, step: Step) {
  return async (ctx: Context): Promise<void> => {
    const token = await authenticateApiToken(ctx, parts.store, 'signals');
    if (!token.ok) return answerRefusal(ctx, token.refusal);
    const owner = { receiver: await receiverName(parts.store, token.value.id), apiTokenId: token.value.id };
    const answered = await step(ctx, owner, parts);
    if (!answered.ok) return answerRefusal(ctx, answered.refusal);
    ctx.set('Cache-Control', 'no-store');
    ctx.body = answered.value.body;
    ctx.status = answered.value.status;
  };
}

const ok = (body: JsonValue, status = 200): Answered => accepted({ status, body });

async function create(ctx: Context, owner: StreamOwner, { store, allowedHosts }: TransmitterParts): Promise<Answered> {
  const request = await readJson(ctx, createStreamSchema);
  if (!request.ok) return request;
  const { delivery, events_requested = [], description = null } = request.value;
  const input = { ...owner, delivery, eventsRequested: events_requested, description, allowedHosts };
  const made = await makeStream(store, input);
  return made.ok ? ok(streamConfiguration(store.issuer, made.value), 201) : made;
}

async function read(ctx: Context, { receiver }: StreamOwner, { store }: TransmitterParts): Promise<Answered> {
  const configuration = (stream: Stream) => streamConfiguration(store.issuer, stream);
  if (ctx.query.stream_id === undefined) return ok((await listStreams(store, receiver)).map(configuration));
  const stream = await findNamed(ctx, receiver, store);
  return stream === undefined ? refused(NO_STREAM) : ok(configuration(stream));
}

function change(isWhole: boolean): Step {
  return async (ctx, owner, { store, allowedHosts }) => {
    const request = await readJson(ctx, changeStreamSchema);
    if (!request.ok) return request;
    const changed = await changeStream(store, owner, { change: request.value, isWhole, allowedHosts });
    return changed.ok ? ok(streamConfiguration(store.issuer, changed.value)) : changed;
  };
}

async function remove(ctx: Context, owner: StreamOwner, { store }: TransmitterParts): Promise<Answered> {
  const by = { kind: 'api_token', id: owner.apiTokenId } as const;
  const deleted = await deleteStream(store, { streamId: String(ctx.query.stream_id ?? ''), owner, by });
  return deleted.ok ? ok(null, 204) : deleted;
}

async function readStatus(ctx: Context, { receiver }: StreamOwner, { store }: TransmitterParts): Promise<Answered> {
  const stream = await findNamed(ctx, receiver, store);
  return stream === undefined ? refused(NO_STREAM) : ok(streamStatus(stream));
}

async function updateStatus(ctx: Context, owner: StreamOwner, { store }: TransmitterParts): Promise<Answered> {
  const request = await readJson(ctx, changeStatusSchema);
  if (!request.ok) return request;
  const { stream_id: streamId, status, reason = null } = request.value;
  const changed = await changeStatus(store, owner, { streamId, status, reason });
  return changed.ok ? ok(streamStatus(changed.value)) : changed;
}

async function verify(ctx: Context, { receiver }: StreamOwner, { store }: TransmitterParts): Promise<Answered> {
  const request = await readJson(ctx, verificationRequestSchema);
  if (!request.ok) return request;
  const { stream_id: streamId, state } = request.value;
  const requested = await requestVerification(store, receiver, { streamId, state });
  return requested.ok ? ok(null, 204) : requested;
}

function pollStream(polls: Places): Step {
  return async (ctx, { receiver }, { store, signer, draining }) => {
    const request = await readJson(ctx, pollRequestSchema);
    if (!request.ok) return request;
    const stream = await findStream(store, receiver, ctx.params.id);
    if (stream === undefined) return refused(NO_STREAM);
    if (stream.method !== 'poll') {
      return refused(refusal('request_invalid', 'The events of this stream are pushed. Change its delivery to poll.'));
    }
    if (!polls.take(stream.id)) {
      const words = `${POLLS_PER_STREAM_MAX} requests of this stream wait already.`;
      return refused(refusal('rate_limited', words, { retry_after_seconds: POLL_WAIT_SECONDS }));
    }
    const gone = new AbortController();
    ctx.req.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, draining]);
    const polled = await whileParked(() => poll({ store, signer, signal }, stream, request.value)).finally(() =>
      polls.leave(stream.id),
    );
    return ok({ ...polled } as JsonObject);
  };
}

async function deadLetters(ctx: Context, { receiver }: StreamOwner, { store }: TransmitterParts): Promise<Answered> {
  const stream = await findStream(store, receiver, ctx.params.id);
  if (stream === undefined) return refused(NO_STREAM);
  const letters = await listDeadLetters(store, stream.id);
  return ok({
    dead_letters: letters.map(({ jti, type, subject, attempts, createdAt, lastError }) => {
      return { jti, event: type, sub_id: subject, attempts, created_at: createdAt.toISOString(), error: lastError };
    }),
  });
}

/** All of them wait again, before what waits now. */
async function retry(ctx: Context, owner: StreamOwner, { store }: TransmitterParts): Promise<Answered> {
  const stream = await findStream(store, owner.receiver, ctx.params.id);
  if (stream === undefined) return refused(NO_STREAM);
  const messages = await retryDeadLetters(store, stream.id, { kind: 'api_token', id: owner.apiTokenId });
  return ok({ messages });
}

function findNamed(ctx: Context, receiver: string, store: Store): Promise<Stream | undefined> {
  return findStream(store, receiver, String(ctx.query.stream_id ?? ''));
}
