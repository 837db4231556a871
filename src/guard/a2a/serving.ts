import type { A2ARequestHandler, JsonRpcTransportHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import { A2A_EXTENSION_URI } from '../../wire/a2a_extension.ts';
import type { Authenticate } from '../authenticate.ts';
import type { Caller } from '../caller.ts';
import type { GuardContext } from '../context.ts';
import type { RequestId } from '../edge.ts';
import type { RegistrationState } from '../upkeep.ts';
import type { Conversations } from './conversations.ts';
import type { GuardedExecutor } from './executor.ts';
import type { Reading } from './sent.ts';

/** What serves one guarded agent. */
export interface Serving {
  readonly context: GuardContext;
  readonly authenticate: Authenticate;
  readonly registration: RegistrationState;
  readonly hosts: ReadonlySet<string>;
  readonly origins: ReadonlySet<string>;
  readonly reading: Reading;
  readonly conversations: Conversations;
  readonly executor: GuardedExecutor;
  /** The SDK's, with the guarded executor inside. */
  readonly handler: A2ARequestHandler;
  readonly transport: JsonRpcTransportHandler;
  /** What its card says. */
  readonly isStreaming: boolean;
  readonly inFlight: { count: number };
  /** The token of a caller still holds: not expired, and nothing that it names was revoked. */
  readonly isInForce: (caller: Caller) => Promise<boolean>;
}

/** One JSON-RPC request that was authenticated. */
export interface A2ACall {
  readonly id: RequestId;
  readonly method: string;
  readonly params: JsonObject;
  readonly caller: Caller;
  readonly request: Request;
}

/** Extensions that the caller named and the guard knows; others do not reach the agent unseen. */
export function extensionsOf(request: Request): string[] {
  const named = (request.headers.get('a2a-extensions') ?? '').split(',').map((uri) => uri.trim());
  return named.includes(A2A_EXTENSION_URI) ? [A2A_EXTENSION_URI] : [];
}

export function withExtensions(response: Response, context: ServerCallContext): Response {
  if (context.requestedExtensions?.includes(A2A_EXTENSION_URI)) {
    response.headers.set('a2a-extensions', A2A_EXTENSION_URI);
  }
  return response;
}
