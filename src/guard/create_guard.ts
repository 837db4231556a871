import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../kernel/ids.ts';
import { silentLogger } from '../kernel/logger.ts';
import { deploymentId } from '../wire/action_digest.ts';
import { generateDpopKey } from '../wire/dpop_rfc9449.ts';
import { importSigningKey, type SigningKey } from '../wire/signing_key.ts';
import { accessTokenVerifier, rememberedVerdicts } from './access_token.ts';
import { authenticator } from './authenticate.ts';
import { BoundedMap } from './bounded_map.ts';
import type { GuardContext } from './context.ts';
import { decisionPoint } from './decision_point.ts';
import { discovery } from './discovery.ts';
import { guardTokenSource } from './guard_token.ts';
import { type Handling, handle } from './handle.ts';
import { HeldLease } from './held_lease.ts';
import { InFlightCalls } from './in_flight.ts';
import { issuerKeys } from './issuer_keys.ts';
import { issuerLink } from './issuer_link.ts';
import { learnTools } from './learn_tools.ts';
import { LeaseLoop } from './lease_loop.ts';
import {
  CHALLENGED_MAX,
  CLOSE_WAIT_MS,
  LEASE_WAIT_SECONDS,
  SILENCE_ALL_SECONDS,
  SILENCE_GATED_SECONDS,
} from './limits.ts';
import { Manifest } from './manifest.ts';
import { type PublishedMetadata, publishedMetadata } from './metadata.ts';
import type { Guard, GuardOptions, McpFetch, McpHandler, ProtectedHandler } from './options.ts';
import { nameOfResource } from './registration.ts';
import { bringUp, keepCurrent, type RegistrationState, type Upkeep } from './upkeep.ts';

/**
 * Creates the guard of one MCP server. It registers itself at the issuer, serves the protected-resource metadata
 * (RFC 9728), verifies access tokens (RFC 9068, RFC 9449), asks the issuer what each call may do, pauses what needs a
 * person's approval, and runs it only after redeeming that approval, at most once.
 *
 * Async because keys are imported. It throws TypeError for options that cannot work; what goes wrong later is logged,
 * tried again, and refuses calls meanwhile.
 *
 * @example
 * ```ts
 * import { createGuard, generateGuardKey } from 'countersign/guard';
 * import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
 *
 * const guard = await createGuard({
 *   issuer: 'http://localhost:9400',
 *   resource: 'http://localhost:3000/mcp',
 *   key: await generateGuardKey(), // keep it: a new key is a new registration
 * });
 * const handler = guard.protect(createMcpHandler(() => new McpServer({ name: 'notes', version: '1.0.0' })));
 * await guard.ready();
 * ```
 */
export async function createGuard(options: GuardOptions): Promise<Guard> {
  checkOptions(options);
  const parts = await buildParts(options);
  let upkeep: Promise<void> | undefined;
  const guard: Guard = {
    protect(handler) {
      if (upkeep !== undefined) throw new TypeError('This guard protects a handler already. Create another guard.');
      const inner = typeof handler === 'function' ? handler : (handler as McpHandler).fetch;
      const started = start(options, parts, inner);
      upkeep = started.ready;
      return protectedHandler(parts, started.handling, guard);
    },
    metadata: () => parts.published.document(),
    ready: () => upkeep ?? Promise.reject(new TypeError('The guard protects nothing yet: call protect() first.')),
    toolsChanged: () => parts.rounds.wake(),
    async close() {
      parts.closing.abort();
      await drain(parts.running);
      await parts.link.close();
    },
  };
  return guard;
}

/** A run that ends now still gets its outcome recorded; one that does not end stays unknown, which is true. */
async function drain(running: ReadonlySet<Promise<unknown>>): Promise<void> {
  const late = new AbortController();
  const all = (async () => {
    while (running.size > 0) await Promise.allSettled(running);
  })();
  await Promise.race([all, sleep(CLOSE_WAIT_MS, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
}

function checkOptions({ issuer, resource, name, silence }: GuardOptions): void {
  const { gatedSeconds, allSeconds } = silenceAllowed(silence);
  if (!(gatedSeconds >= 1 && gatedSeconds <= allSeconds && allSeconds <= SILENCE_ALL_SECONDS)) {
    throw new TypeError(
      `The silence must be 1 <= gatedSeconds <= allSeconds <= ${SILENCE_ALL_SECONDS}: it is ${gatedSeconds} and ${allSeconds}.`,
    );
  }
  for (const [what, value] of [
    ['issuer', issuer],
    ['resource', resource],
  ] as const) {
    const url = URL.parse(value);
    if (url === null || !/^https?:$/.test(url.protocol) || value.includes('#')) {
      throw new TypeError(`The ${what} "${value}" must be an http(s) address without a fragment.`);
    }
  }
  // Compared as plain strings everywhere: in `aud`, in the digests, in the server's own record (RFC 8707).
  const { origin, href, pathname, search } = new URL(resource);
  const canonical = pathname === '/' && search === '' ? origin : href;
  if (resource !== canonical) throw new TypeError(`Write the resource in its canonical form: ${canonical}`);
  if (issuer.endsWith('/'))
    throw new TypeError(`Write the issuer without the slash at its end: ${issuer.slice(0, -1)}`);
  if (name !== undefined && !/^[a-z0-9][a-z0-9-]{0,62}$/.test(name)) {
    throw new TypeError(`The name "${name}" must be 1 to 63 of a-z, 0-9 and "-", and start with a letter or digit.`);
  }
}

function silenceAllowed(silence: GuardOptions['silence'] = {}) {
  const { gatedSeconds = SILENCE_GATED_SECONDS, allSeconds = SILENCE_ALL_SECONDS } = silence;
  return { gatedSeconds, allSeconds };
}

type Parts = Awaited<ReturnType<typeof buildParts>>;

async function buildParts(options: GuardOptions) {
  const key: SigningKey = await importSigningKey(options.key);
  const dpopKey = await generateDpopKey();
  const registration: RegistrationState = { clientId: undefined, nonce: undefined, isActive: false };
  const name = options.name ?? nameOfResource(options.resource);
  const metadata = discovery(options.issuer);
  const token = guardTokenSource({
    issuer: options.issuer,
    metadata,
    key,
    dpopKey,
    clientId: () => registration.clientId,
  });
  const published: PublishedMetadata = publishedMetadata(
    { issuer: options.issuer, resource: options.resource, name },
    key,
    () => registration.nonce,
  );
  const log = options.logger ?? silentLogger;
  const closing = new AbortController();
  const link = issuerLink(options.issuer, token, dpopKey);
  const point = decisionPoint(link);
  const keys = issuerKeys(metadata);
  const verdicts = rememberedVerdicts();
  const silence = silenceAllowed(options.silence);
  const lease = new HeldLease(silence, () => verdicts.clear());
  const { issuer, resource } = options;
  const waitSeconds = Math.min(LEASE_WAIT_SECONDS, silence.gatedSeconds / 2);
  const loop = new LeaseLoop({ issuer, resource, point, held: lease, keys, waitSeconds, closing: closing.signal, log });
  return {
    key,
    name,
    registration,
    published,
    deployment: deploymentId(options.deployment ?? { kind: 'in_process', name, version: options.version ?? '1' }),
    link,
    point,
    lease,
    loop,
    verifyToken: accessTokenVerifier({ issuer, resource, keys, lease, renewLease: loop.renew, verdicts }),
    log,
    closing,
    rounds: rounds(),
    running: new Set<Promise<unknown>>(),
  };
}

function start(options: GuardOptions, parts: Parts, inner: McpFetch): { handling: Handling; ready: Promise<void> } {
  const { issuer, resource } = options;
  const { log, key, registration, deployment, closing, point } = parts;
  const manifest = new Manifest(options.tools ?? (() => learnTools(inner, resource)), log);
  const context: GuardContext = {
    action: { issuer, resource, deployment },
    point,
    lease: parts.lease,
    renewLease: parts.loop.renew,
    manifest,
    inner,
    key,
    metadataUrl: parts.published.url,
    instance: newId('gin'),
    facts: options.facts,
    inFlight: new InFlightCalls(),
    challenged: new BoundedMap(CHALLENGED_MAX),
    holds: { count: 0 },
    reading: { count: 0 },
    running: parts.running,
    closing: closing.signal,
    log,
  };
  const { origin, host } = new URL(resource);
  const handling: Handling = {
    context,
    registration,
    authenticate: authenticator(resource, parts.verifyToken),
    hosts: new Set([host, ...(options.allowedHosts ?? [])]),
    origins: new Set([origin, ...(options.allowedOrigins ?? [])]),
    areListsOpen: options.listResourcesAndPrompts ?? false,
  };
  const upkeep: Upkeep = {
    registration: { issuer, name: parts.name, resource, deployment, key, proposedRisks: options.proposedRisks ?? {} },
    state: registration,
    manifest,
    point,
    lease: parts.loop,
    closing: closing.signal,
    onRegistration: options.onRegistration,
    log,
    reported: '',
  };
  const ready = bringUp(upkeep);
  ready.then(
    () => keepCurrent(upkeep, parts.rounds.next),
    () => {},
  );
  return { handling, ready };
}

function protectedHandler(parts: Parts, handling: Handling, guard: Guard): ProtectedHandler {
  return {
    async fetch(request) {
      const metadata = parts.published.serve(request);
      if (metadata !== null) return metadata;
      try {
        return await handle(handling, request);
      } catch (error) {
        // An aborted request has nobody to answer.
        if (request.signal.aborted) return new Response(null, { status: 499 });
        parts.log.error({ error }, 'a request failed in the guard; nothing was run by it');
        const failure = { code: -32603, message: 'The guard of this tool server failed. Nothing was run.' };
        return Response.json({ jsonrpc: '2.0', id: null, error: failure }, { status: 500 });
      }
    },
    ready: guard.ready,
    close: guard.close,
  };
}

/** Lets one waiter be woken; a wake-up without a waiter is kept for the next one. */
function rounds(): { wake: () => void; next: () => Promise<void> } {
  let isWoken = false;
  let wakeWaiter: (() => void) | undefined;
  return {
    wake() {
      isWoken = true;
      wakeWaiter?.();
    },
    async next() {
      if (!isWoken) {
        await new Promise<void>((resolve) => {
          wakeWaiter = resolve;
        });
      }
      isWoken = false;
    },
  };
}
