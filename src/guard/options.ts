import type { AuthInfo } from '@modelcontextprotocol/server';
import type { JsonObject } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Deployment } from '../wire/action_digest.ts';
import type { RegistrationAnswer } from '../wire/guard_api.ts';
import type { RiskClass, ToolDefinition } from '../wire/manifest.ts';
import type { PrivateKeyJwk } from '../wire/signing_key.ts';

/** A web-standard MCP endpoint: what `createMcpHandler(...).fetch` of MCP SDK v2 is. */
export type McpFetch = (request: Request, options?: { parsedBody?: unknown; authInfo?: AuthInfo }) => Promise<Response>;

/** An object with such an endpoint: what `createMcpHandler(...)` of MCP SDK v2 returns. */
export interface McpHandler {
  readonly fetch: McpFetch;
}

/** A call as the owner's facts resolver sees it. */
export interface FactsCall {
  readonly name: string;
  readonly arguments: JsonObject;
}

export interface GuardOptions {
  /** The Countersign server, exactly as it names itself, for example `https://countersign.example`. */
  readonly issuer: string;
  /** The address of this MCP endpoint as clients know it; the audience of the tokens it accepts (RFC 8707). */
  readonly resource: string;
  /** The guard's private key, from `generateGuardKey()`. Keep it in a file that only this process can read. */
  readonly key: PrivateKeyJwk;
  /** A short name for people, `[a-z0-9-]`. Default: made from the address. */
  readonly name?: string;
  /** What runs behind the guard, part of every approval. Default: this process, by `name` and `version`. */
  readonly deployment?: Deployment;
  /** Of the tool server, for the default `deployment`. Changing it needs a new registration. Default `"1"`. */
  readonly version?: string;
  /** Classes proposed to the administrator who accepts this server; a tool not named is proposed as `critical`. */
  readonly proposedRisks?: Readonly<Record<string, RiskClass>>;
  /**
   * What references in the arguments point to now ("PR 42" is this commit). Shown to the approver, part of the approval,
   * and asked again just before the call runs: a difference needs a new approval. Asked for every tool call.
   */
  readonly facts?: (call: FactsCall) => Promise<JsonObject>;
  /** Lists the tools, for servers whose `tools/list` depends on the caller. Default: asks the handler itself. */
  readonly tools?: () => Promise<readonly ToolDefinition[]>;
  /** Further values of the Host header that are accepted beside the host of `resource`. */
  readonly allowedHosts?: readonly string[];
  /** Origins of browser pages that may call. Default: the origin of `resource` only. */
  readonly allowedOrigins?: readonly string[];
  /**
   * Lets every caller with a task here list resources and prompts. Reading one is decided by policy in any case, but the
   * lists are not filtered; so they are closed by default.
   */
  readonly listResourcesAndPrompts?: boolean;
  /**
   * For how long this guard goes on when it hears nothing from its server, so that it cannot know what was revoked: calls
   * that need approval are refused after `gatedSeconds` (default 10), all calls after `allSeconds` (default 60, which is
   * also the most: a lease of the server lasts no longer). At least 1 s, and `gatedSeconds` at most `allSeconds`. While it
   * hears from the server it also compares clocks: beyond 5 s of difference no call that needs approval runs.
   */
  readonly silence?: { readonly gatedSeconds?: number; readonly allSeconds?: number };
  readonly logger?: Logger;
  /** Called when the registration is made and whenever its state changes; `console_url` is where it is accepted. */
  readonly onRegistration?: (registration: RegistrationAnswer) => void;
}

export interface Guard {
  /** Puts the guard before a handler. Once per guard: a guard stands for one resource. */
  protect(handler: McpHandler | McpFetch): ProtectedHandler;
  /** The protected-resource metadata (RFC 9728) as it is served now. */
  metadata(): JsonObject;
  /** Resolves when the server accepted the registration, knows the current tools and has given the first lease. */
  ready(): Promise<void>;
  /** Tells the guard that the tools changed, so that it lists them now and not at the next round. */
  toolsChanged(): void;
  /** Ends background work and connections, which else keep the process alive. Calls that wait for a person are answered to be retried. */
  close(): Promise<void>;
}

export interface ProtectedHandler {
  readonly fetch: McpFetch;
  /** Same as `Guard.ready`. */
  ready(): Promise<void>;
  /** Same as `Guard.close`. */
  close(): Promise<void>;
}
