import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { JsonObject } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Deployment } from '../wire/action_digest.ts';
import { pickEnvironment, resolveCommand } from './upstream/command.ts';
import type { OpenTransport } from './upstream/connection.ts';
import { stdioTransport } from './upstream/stdio.ts';
import { streamableHttpTransport } from './upstream/streamable_http.ts';

export interface StdioUpstreamConfig {
  readonly kind: 'stdio';
  /** A program by name or path. It is looked up once, when the gateway starts, and never by a shell. */
  readonly command: string;
  readonly args?: readonly string[];
  /** Default: the working directory of the gateway. */
  readonly cwd?: string;
  /** Environment variables that the program gets, beside PATH. It sees no others. */
  readonly env_names?: readonly string[];
}

export interface HttpUpstreamConfig {
  readonly kind: 'http';
  readonly url: string;
  /** Sent with every request, for example the upstream's own credentials. The caller's token is never sent. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Which MCP server stands behind the gateway, and how much of the machine it may take. */
export type UpstreamConfig = (StdioUpstreamConfig | HttpUpstreamConfig) & {
  /** Roots to tell the server, by URI. Default: none, and the server is told that the client has no roots. */
  readonly roots?: readonly string[];
  readonly processes_per_principal_max?: number;
  readonly processes_max?: number;
  readonly idle_seconds_max?: number;
  readonly request_quiet_seconds_max?: number;
  readonly request_total_seconds_max?: number;
};

export interface ResolvedUpstream {
  readonly deployment: Deployment;
  readonly openTransport: OpenTransport;
  readonly capabilities: JsonObject;
  readonly answers: Readonly<Record<string, JsonObject>>;
}

const OWN_HEADERS = new Set([
  'accept',
  'content-type',
  'content-length',
  'host',
  'mcp-session-id',
  'mcp-protocol-version',
]);

/** Checks what the configuration says against this machine. Throws Errors that tell the operator what to change. */
export function resolveUpstream(
  config: UpstreamConfig,
  log: Logger,
  environment: Readonly<Record<string, string | undefined>>,
): ResolvedUpstream {
  const roots = config.roots ?? [];
  // Never the client's own roots: they would take the place of the folders the operator configured.
  const clientSide =
    roots.length === 0
      ? { capabilities: {}, answers: {} }
      : { capabilities: { roots: {} }, answers: { 'roots/list': { roots: roots.map((uri) => ({ uri })) } } };
  const transport = config.kind === 'stdio' ? resolveStdio(config, log, environment) : resolveHttp(config, log);
  return { ...transport, ...clientSide };
}

function resolveStdio(
  config: StdioUpstreamConfig,
  log: Logger,
  environment: Readonly<Record<string, string | undefined>>,
): Pick<ResolvedUpstream, 'deployment' | 'openTransport'> {
  const cwd = resolve(config.cwd ?? '.');
  if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Error(`The working directory of the tool server, ${cwd}, is not a directory. Create it or name another.`);
  }
  const command = resolveCommand(config.command, cwd, environment.PATH ?? '');
  const args = config.args ?? [];
  const envNames = config.env_names ?? [];
  const program = { command, args, cwd, environment: pickEnvironment(envNames, environment) };
  return {
    deployment: { kind: 'stdio', command, args, env_names: envNames },
    openTransport: stdioTransport(program, log),
  };
}

function resolveHttp(config: HttpUpstreamConfig, log: Logger): Pick<ResolvedUpstream, 'deployment' | 'openTransport'> {
  if (!URL.canParse(config.url)) throw new Error(`The address of the tool server, ${config.url}, is not a URL.`);
  const url = new URL(config.url);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error(`The address of the tool server must start with https:// or http://, not ${url.protocol}.`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error('The address of the tool server holds a password. Put credentials into its headers instead.');
  }
  const headers = Object.fromEntries(
    Object.entries(config.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const [forbidden] = Object.keys(headers).filter((name) => OWN_HEADERS.has(name));
  if (forbidden !== undefined) throw new Error(`The gateway sets the header ${forbidden} itself. Leave it out.`);
  return {
    deployment: { kind: 'http', url: url.href },
    openTransport: streamableHttpTransport({ url, headers }, log),
  };
}
