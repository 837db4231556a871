import type { ToolConstraint } from '../wire/constraints.ts';
import { cachedToken } from './access_tokens.ts';
import { authorizedFetch } from './authorized_fetch.ts';
import { requestToken, type TokenClient } from './token_client.ts';

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/** What is handed on at one resource; what is left out is not narrowed. */
export interface Narrowing {
  /** Names of tools. */
  readonly tools?: readonly string[];
  /** What arguments must be like, beside what is demanded already. */
  readonly constraints?: readonly ToolConstraint[];
}

export interface DelegationRequest extends Narrowing {
  /** Where the new token is for: the tool server, or the agent, by its address. */
  readonly resource: string;
  /** Where else the taker may go on; no other resource is handed on. */
  readonly onward?: readonly ({ readonly resource: string } & Narrowing)[];
  /** How long the delegation lasts at most; it never outlasts what it comes from. */
  readonly seconds?: number;
}

type Source = string | (() => string | Promise<string>);

export interface ExchangeRequest extends DelegationRequest {
  /** The token that work came with: at this agent's own address as their audience, or one of this agent's own. */
  readonly subjectToken: Source;
  /** Of the agent that is to take the work, for the issuer's API and bound to its key; with a token of this agent's own. */
  readonly actorToken?: Source;
}

/** Tokens of one delegation, renewed by exchanging again. Fits `authProvider` of the HTTP transports of MCP SDK v2. */
export interface Delegated {
  readonly resource: string;
  /** @throws AgentError when the delegation is refused, or the token it comes from has ended */
  token(): Promise<string>;
  onUnauthorized(): Promise<void>;
  /** Sends requests with the token, and a proof of its key if it is bound to one: for MCP and A2A clients alike. */
  readonly fetch: typeof fetch;
}

/** RFC 8693. The first token is obtained by whoever needs it first. */
export function exchangedToken(client: TokenClient, request: ExchangeRequest): Delegated {
  const token = cachedToken(async () => requestToken(client, await exchangeForm(request)));
  return {
    resource: request.resource,
    token: () => token.get(),
    onUnauthorized: async () => token.forget(),
    fetch: authorizedFetch(token, client.prover, request.resource),
  };
}

async function exchangeForm(request: ExchangeRequest): Promise<Record<string, string>> {
  const { resource, tools, constraints, onward, seconds, actorToken } = request;
  const narrowing = {
    ...(tools === undefined ? {} : { tools }),
    ...(constraints === undefined ? {} : { constraints }),
    ...(onward === undefined ? {} : { onward }),
    ...(seconds === undefined ? {} : { seconds }),
  };
  const isNarrowed = Object.keys(narrowing).length > 0;
  return {
    grant_type: GRANT_TYPE,
    subject_token: await read(request.subjectToken),
    subject_token_type: ACCESS_TOKEN_TYPE,
    resource,
    ...(actorToken === undefined ? {} : { actor_token: await read(actorToken), actor_token_type: ACCESS_TOKEN_TYPE }),
    ...(isNarrowed ? { authorization_details: JSON.stringify([{ type: 'mcp_delegation', ...narrowing }]) } : {}),
  };
}

async function read(source: Source): Promise<string> {
  return typeof source === 'string' ? source : source();
}
