import type { McpFetch } from '../guard/options.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Deployment } from '../wire/action_digest.ts';
import type { ToolDefinition } from '../wire/manifest.ts';
import { createHandler } from './handler.ts';
import { InFlightCalls } from './in_flight.ts';
import {
  REQUEST_QUIET_SECONDS_MAX,
  REQUEST_TOTAL_SECONDS_MAX,
  UPSTREAM_IDLE_SECONDS_MAX,
  UPSTREAMS_MAX,
  UPSTREAMS_PER_PRINCIPAL_MAX,
} from './limits.ts';
import { LogLevels } from './log_levels.ts';
import { Manifest, type ManifestListener } from './manifest.ts';
import { ManifestKeeper } from './manifest_keeper.ts';
import { UpstreamPool } from './pool.ts';
import { Session } from './session.ts';
import { connectUpstream } from './upstream/connect.ts';
import { resolveUpstream, type UpstreamConfig } from './upstream_config.ts';

export type { UpstreamConfig } from './upstream_config.ts';

export interface GatewayOptions {
  readonly upstream: UpstreamConfig;
  readonly log: Logger;
  /** Told to upstreams as `clientInfo.version`. */
  readonly version?: string;
  /** Where `env_names` and PATH are looked up. Default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface Gateway {
  /** To be wrapped by a guard; it refuses every request that no guard has looked at. */
  readonly fetch: McpFetch;
  /** What the upstream is, for its registration and for action digests. */
  readonly deployment: Deployment;
  /** The upstream's tools as it lists them now, raw. Waits for the first list to settle; throws UpstreamError. */
  tools(): Promise<readonly ToolDefinition[]>;
  /** Called with the current list, if there is one, and with each one that differs. */
  onManifest(listener: ManifestListener): void;
  /** Fails calls in flight, then stops every upstream process. Resolves when they are gone, in about two seconds at most. */
  close(): Promise<void>;
}

/**
 * Puts an MCP server that nobody can change behind `fetch`. Each person, agent and task gets a process (or HTTP session) of
 * its own. Throws when the configuration does not fit this machine; a server that does not start is reported by `tools`.
 */
export function createGateway(options: GatewayOptions): Gateway {
  const { upstream: config, log } = options;
  const resolved = resolveUpstream(config, log, options.environment ?? process.env);
  const manifest = new Manifest();
  const client = {
    name: 'countersign-gateway',
    version: options.version ?? '0',
    capabilities: resolved.capabilities,
    answers: resolved.answers,
  };
  const times = {
    quietSecondsMax: config.request_quiet_seconds_max ?? REQUEST_QUIET_SECONDS_MAX,
    totalSecondsMax: config.request_total_seconds_max ?? REQUEST_TOTAL_SECONDS_MAX,
  };
  const start = async () =>
    new Session(await connectUpstream(resolved.openTransport, { client, times, log }), manifest, log);
  const limits = {
    perPrincipal: config.processes_per_principal_max ?? UPSTREAMS_PER_PRINCIPAL_MAX,
    total: config.processes_max ?? UPSTREAMS_MAX,
    idleSeconds: config.idle_seconds_max ?? UPSTREAM_IDLE_SECONDS_MAX,
  };
  const pool = new UpstreamPool(start, limits, log);
  const keeper = new ManifestKeeper(start, log);
  const listed = async () => {
    if (manifest.list === undefined) await keeper.settled();
  };
  const describe = () => keeper.description();
  const memory = { inFlight: new InFlightCalls(), logLevels: new LogLevels() };
  const handler = createHandler({ ...memory, pool, manifest, listed, describe, log });
  return {
    fetch: handler.fetch,
    deployment: resolved.deployment,
    tools: async () => {
      await listed();
      return manifest.list?.tools ?? [];
    },
    onManifest: (listener) => manifest.onManifest(listener),
    close: async () => {
      await Promise.all([pool.close(), keeper.close()]);
      await handler.close();
    },
  };
}
