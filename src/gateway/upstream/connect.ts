import type { JsonObject } from '../../kernel/json.ts';
import type { Logger } from '../../kernel/logger.ts';
import { HANDSHAKE_MS_MAX } from '../limits.ts';
import type { InitializeResult, OpenTransport, Transport, Upstream } from './connection.ts';
import { isObject, JsonRpcPeer } from './json_rpc_peer.ts';
import type { RequestTimes } from './pending_request.ts';
import { notSent, UpstreamError } from './upstream_error.ts';

/** Newest first. Servers that speak 2026-07-28 also answer these. */
const PROTOCOL_VERSIONS: readonly string[] = ['2025-11-25', '2025-06-18'];

export interface ClientSide {
  readonly name: string;
  readonly version: string;
  /**
   * The same for every principal, from the configuration: a server that lists other tools to other clients would have
   * as many manifests as clients.
   */
  readonly capabilities: JsonObject;
  /** Fixed answers to requests of the server that the capabilities invite, by method. */
  readonly answers: Readonly<Record<string, JsonObject>>;
}

export interface ConnectOptions {
  readonly client: ClientSide;
  readonly times: RequestTimes;
  readonly log: Logger;
}

/** Opens the transport and shakes hands. Throws UpstreamError (`not_sent`) when the server cannot be used. */
export async function connectUpstream(openTransport: OpenTransport, options: ConnectOptions): Promise<Upstream> {
  const { promise: exited, resolve: onExited } = Promise.withResolvers<{ readonly why: string }>();
  const state: { peer?: JsonRpcPeer; ended?: string } = {};
  const transport = openTransport({
    onMessage: (text) => state.peer?.receive(text),
    onRequestFailed: (id, error) => state.peer?.fail(id, error),
    onExit: (why) => {
      state.ended = why;
      state.peer?.end(why);
      onExited({ why });
    },
  });
  const { client, times, log } = options;
  const peer = new JsonRpcPeer(transport, { log, times, answers: client.answers });
  state.peer = peer;
  try {
    const initializeResult = await handshake(peer, transport, client);
    return upstreamOf(peer, transport, initializeResult, exited);
  } catch (error) {
    const why = state.ended ?? (error as Error).message;
    peer.end('it was closed after a failed handshake');
    void transport.close();
    throw notSent(`The tool server is not available: ${why}.`);
  }
}

async function handshake(peer: JsonRpcPeer, transport: Transport, client: ClientSide): Promise<InitializeResult> {
  const result = await peer
    .request(
      'initialize',
      {
        protocolVersion: PROTOCOL_VERSIONS[0]!,
        capabilities: client.capabilities,
        clientInfo: { name: client.name, version: client.version },
      },
      { signal: AbortSignal.timeout(HANDSHAKE_MS_MAX) },
    )
    .catch((error: unknown) => {
      if (error instanceof UpstreamError && error.failure === 'answered') {
        throw new Error(`it refused to initialize (${error.code}): ${error.message}`);
      }
      throw error;
    });
  const { protocolVersion, capabilities, serverInfo } = result;
  if (typeof protocolVersion !== 'string' || !PROTOCOL_VERSIONS.includes(protocolVersion)) {
    throw new Error(`it speaks MCP ${String(protocolVersion)}; the gateway speaks ${PROTOCOL_VERSIONS.join(' and ')}.`);
  }
  if (!isObject(capabilities) || !isObject(serverInfo)) throw new Error('its answer to initialize is not valid MCP.');
  transport.setProtocolVersion(protocolVersion);
  peer.notify('notifications/initialized', {});
  return result as InitializeResult;
}

function upstreamOf(
  peer: JsonRpcPeer,
  transport: Transport,
  initializeResult: InitializeResult,
  exited: Promise<{ readonly why: string }>,
): Upstream {
  return {
    initializeResult,
    exited,
    get isOpen() {
      return peer.isOpen;
    },
    request: (method, params, options) => peer.request(method, params, options),
    notify: (method, params) => peer.notify(method, params),
    onNotification: (handler) => peer.onNotification(handler),
    close: async () => {
      peer.end('the gateway closed it');
      await transport.close();
    },
  };
}
