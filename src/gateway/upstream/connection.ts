import type { JsonObject } from '../../kernel/json.ts';

/** Progress and log notifications, as the upstream sent them. */
export interface UpstreamNotification {
  readonly method: string;
  readonly params: JsonObject;
}

export interface UpstreamRequestOptions {
  /** Aborting tells the upstream `notifications/cancelled` and fails the request; what ran stays unknown. */
  readonly signal?: AbortSignal;
  /** Asks for progress. `params` of each notification, with a token that means nothing outside this connection. */
  readonly onProgress?: (params: JsonObject) => void;
  /** The canonical JSON of `params.arguments`: written to the wire as it is, in place of `params.arguments`. */
  readonly argumentsText?: string;
  /** Keeps numbers that a double cannot hold as they were written. */
  readonly keepsNumbers?: boolean;
}

/** What the upstream said of itself in its answer to `initialize`, untouched. */
export interface InitializeResult extends JsonObject {
  readonly protocolVersion: string;
  readonly capabilities: JsonObject;
  readonly serverInfo: JsonObject;
  readonly instructions?: string;
}

/** An MCP server behind the gateway, past its handshake. One per principal: nothing of it is shared. */
export interface Upstream {
  readonly initializeResult: InitializeResult;
  /** Resolves with the raw result. Throws UpstreamError and nothing else. Never sends a request a second time. */
  request(method: string, params: JsonObject, options?: UpstreamRequestOptions): Promise<JsonObject>;
  notify(method: string, params: JsonObject): void;
  /** One handler; a later one takes its place. */
  onNotification(handler: (notification: UpstreamNotification) => void): void;
  /** Settles once, when the connection is gone for whatever reason; `why` is for the log. */
  readonly exited: Promise<{ readonly why: string }>;
  readonly isOpen: boolean;
  /** Fails what is in flight, then stops the upstream. Resolves when it is gone. */
  close(): Promise<void>;
}

/** Carries JSON-RPC messages, one text each; knows nothing of what they mean. */
export interface Transport {
  /**
   * Sends one message. `requestId` is set for requests: a transport that learns that no answer can come reports it by
   * `onRequestFailed`.
   */
  send(text: string, requestId: number | undefined): void;
  /** After the handshake; HTTP names the revision in a header. */
  setProtocolVersion(version: string): void;
  /** The caller no longer waits for this request. */
  abandon(requestId: number): void;
  close(): Promise<void>;
}

export interface TransportEvents {
  readonly onMessage: (text: string) => void;
  readonly onRequestFailed: (requestId: number, error: Error) => void;
  readonly onExit: (why: string) => void;
}

export type OpenTransport = (events: TransportEvents) => Transport;
