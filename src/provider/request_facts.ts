import type { JWK } from 'jose';
import type { McpDelegationDetail } from '../wire/authorization_details.ts';
import type { AccessTokenClaims } from '../wire/claims.ts';
import type { McpTaskStart } from '../wire/task_request.ts';
import type { AskedTask } from './grants/asked_task.ts';
import type { KnownToolServer, LiveTask } from './live_task.ts';

/** What one request has established so far; later steps rely on it instead of asking again. */
export interface RequestFacts {
  /** The live task the token will be for. */
  task?: LiveTask;
  /** What the request says of a task that does not exist yet. */
  taskStart?: McpTaskStart;
  /** That task, ready to be started. */
  askedTask?: AskedTask;
  /** The active tool server that was asked for. */
  toolServer?: KnownToolServer;
  /** Of the status of the token in the status lists, if they are published. */
  statusNumber?: number;
  /** `sub` of a token without a task: the agent or the tool server. */
  subject?: string;
  /** How a token exchange narrows what it hands on. */
  narrowing?: McpDelegationDetail;
  /** How the person signed in, as the exchanged token says. */
  authentication?: Pick<AccessTokenClaims, 'auth_time' | 'amr' | 'acr'>;
  /** An exchange that was refused, and recorded: too many of them have to wait like guesses. */
  isRefusedExchange?: boolean;
  /** The agent that a platform's token stands for, and the key by which this process vouches for it in this request. */
  workload?: {
    readonly agentId: string;
    readonly clientId: string;
    readonly publicJwk: JWK;
    /** It came as the grant (MCP SEP-1933). */
    readonly isGrant: boolean;
  };
  /** The client id that was looked up, known or not. */
  clientId?: string;
  /** Grants whose whole family was revoked while this request ran. */
  revokedGrants?: Set<string>;
  /** Refused for being older than the memory of used ones: the memory moved, and nobody guessed. */
  isForgotten?: boolean;
  /** The error that ended the request. */
  error?: Error;
}

const factsOfRequest = new WeakMap<object, RequestFacts>();

/** Keyed by the Node request: the engine makes several Koa contexts for one. */
export function requestFacts(ctx: { readonly req: object }): RequestFacts {
  const known = factsOfRequest.get(ctx.req);
  if (known !== undefined) return known;
  const facts: RequestFacts = {};
  factsOfRequest.set(ctx.req, facts);
  return facts;
}
