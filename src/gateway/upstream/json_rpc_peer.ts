import type { JsonObject, JsonValue } from '../../kernel/json.ts';
import type { Logger } from '../../kernel/logger.ts';
import { UPSTREAM_CALLS_IN_FLIGHT_MAX } from '../limits.ts';
import type { Transport, UpstreamNotification, UpstreamRequestOptions } from './connection.ts';
import { parseKeepingNumbers } from './lossless_json.ts';
import { type Pending, pendingRequest, type RequestTimes } from './pending_request.ts';
import { notSent, outcomeUnknown, UpstreamError } from './upstream_error.ts';

const METHOD_NOT_FOUND_CODE = -32601;

export interface PeerOptions {
  readonly log: Logger;
  readonly times: RequestTimes;
  /** Answers to requests of the upstream, by method; every other request is refused. */
  readonly answers: Readonly<Record<string, JsonObject>>;
}

/** One end of a JSON-RPC conversation: numbers requests, matches answers, refuses what the upstream asks of us. */
export class JsonRpcPeer {
  readonly #transport: Transport;
  readonly #options: PeerOptions;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #ended: string | undefined;
  #onNotification: (notification: UpstreamNotification) => void = () => {};

  constructor(transport: Transport, options: PeerOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  onNotification(handler: (notification: UpstreamNotification) => void): void {
    this.#onNotification = handler;
  }

  request(method: string, params: JsonObject, options: UpstreamRequestOptions = {}): Promise<JsonObject> {
    if (this.#ended !== undefined) return Promise.reject(notSent(`The tool server is gone: ${this.#ended}.`));
    if (options.signal?.aborted === true) return Promise.reject(notSent('The call was cancelled before it started.'));
    if (this.#pending.size >= UPSTREAM_CALLS_IN_FLIGHT_MAX) {
      return Promise.reject(notSent(`Already ${this.#pending.size} calls wait for the tool server. Try again later.`));
    }
    const id = this.#nextId;
    this.#nextId += 1;
    const { promise, pending } = pendingRequest(options, this.#options.times, (why) => this.#giveUp(id, why));
    this.#pending.set(id, pending);
    // The request's id serves as progress token, as the SDKs do it: unique on this connection.
    const full = options.onProgress === undefined ? params : withProgressToken(params, id);
    this.#transport.send(requestText(id, method, full, options.argumentsText), id);
    return promise;
  }

  notify(method: string, params: JsonObject): void {
    if (this.isOpen) this.#transport.send(JSON.stringify({ jsonrpc: '2.0', method, params }), undefined);
  }

  receive(text: string): void {
    let message: JsonValue;
    try {
      message = JSON.parse(text) as JsonValue;
    } catch {
      this.#options.log.warn({ characters: text.length }, 'Skipped a message of the tool server that is not JSON.');
      return;
    }
    if (!isObject(message) || message.jsonrpc !== '2.0') return;
    if (typeof message.method !== 'string') this.#answered(message, text);
    else if (message.id === undefined) this.#notified(message.method, isObject(message.params) ? message.params : {});
    else this.#asked(message.method, message.id);
  }

  /** The transport knows that this request gets no answer. */
  fail(id: number, error: Error): void {
    const pending = this.#take(id);
    pending?.reject(error);
  }

  /** The transport is gone. Everything in flight fails: it was sent, and nobody can say what became of it. */
  end(why: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    for (const id of [...this.#pending.keys()]) {
      this.fail(
        id,
        outcomeUnknown(
          `The tool server went away during the call (${why}). Whether the call had an effect is not known: ` +
            'check before you try again.',
        ),
      );
    }
  }

  #answered(message: JsonObject, text: string): void {
    const id = typeof message.id === 'number' ? message.id : undefined;
    const pending = id === undefined ? undefined : this.#take(id);
    if (pending === undefined) return;
    if (isObject(message.error)) {
      const { code, message: words, data } = message.error;
      pending.reject(
        new UpstreamError(
          'answered',
          Number.isSafeInteger(code) ? (code as number) : -32603,
          typeof words === 'string' ? words : 'The tool server answered with an error that has no message.',
          data,
        ),
      );
      return;
    }
    const result = pending.keepsNumbers ? withNumbersKept(text, message) : message.result;
    if (isObject(result)) pending.resolve(result);
    else pending.reject(outcomeUnknown('The tool server answered with neither a result object nor an error.'));
  }

  #notified(method: string, params: JsonObject): void {
    if (method !== 'notifications/progress') {
      this.#onNotification({ method, params });
      return;
    }
    // Late progress of a request that was cancelled finds nothing here and is dropped.
    if (typeof params.progressToken === 'number') this.#pending.get(params.progressToken)?.progressed(params);
  }

  #asked(method: string, id: JsonValue): void {
    const answer =
      method === 'ping' ? {} : Object.hasOwn(this.#options.answers, method) && this.#options.answers[method];
    if (answer) {
      this.#transport.send(JSON.stringify({ jsonrpc: '2.0', id, result: answer }), undefined);
      return;
    }
    this.#options.log.warn({ method: method.slice(0, 100) }, 'Refused a request of the tool server to the client.');
    const error = { code: METHOD_NOT_FOUND_CODE, message: 'The gateway does not pass requests on to clients.' };
    this.#transport.send(JSON.stringify({ jsonrpc: '2.0', id, error }), undefined);
  }

  #giveUp(id: number, why: string): void {
    const pending = this.#take(id);
    if (pending === undefined) return;
    this.notify('notifications/cancelled', { requestId: id, reason: why });
    this.#transport.abandon(id);
    pending.reject(
      outcomeUnknown(`${why} The tool server was told to stop; whether the call had an effect is not known.`),
    );
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.dispose();
    return pending;
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// A reviver recurses; what is nested too deep for it is refused later for its depth.
function withNumbersKept(text: string, parsed: JsonObject): JsonValue | undefined {
  try {
    return (parseKeepingNumbers(text) as JsonObject).result;
  } catch {
    return parsed.result;
  }
}

function withProgressToken(params: JsonObject, id: number): JsonObject {
  return { ...params, _meta: { ...(isObject(params._meta) ? params._meta : {}), progressToken: id } };
}

// The canonical text goes out as it is: what the person approved, byte for byte, whatever order JavaScript gives names.
function requestText(id: number, method: string, params: JsonObject, argumentsText: string | undefined): string {
  if (argumentsText === undefined) return JSON.stringify({ jsonrpc: '2.0', id, method, params });
  const { arguments: _replaced, ...rest } = params;
  const members = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  members.push(`"arguments":${argumentsText}`);
  return `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)},"params":{${members.join(',')}}}`;
}
