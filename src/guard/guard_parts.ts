import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../kernel/ids.ts';
import type { JsonObject } from '../kernel/json.ts';
import { silentLogger } from '../kernel/logger.ts';
import { deploymentId } from '../wire/action_digest.ts';
import { generateDpopKey } from '../wire/dpop_rfc9449.ts';
import type { ToolDefinition } from '../wire/manifest.ts';
import { importSigningKey, type SigningKey } from '../wire/signing_key.ts';
import { accessTokenVerifier, rememberedVerdicts } from './access_token.ts';
import { BoundedMap } from './bounded_map.ts';
import type { GuardContext } from './context.ts';
import { decisionPoint } from './decision_point.ts';
import { discovery } from './discovery.ts';
import { guardTokenSource } from './guard_token.ts';
import { HeldLease } from './held_lease.ts';
import { InFlightCalls } from './in_flight.ts';
import { issuerKeys } from './issuer_keys.ts';
import { issuerLink } from './issuer_link.ts';
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
import type { FactsCall, GuardOptions, McpFetch } from './options.ts';
import { proofNonces } from './proof_nonces.ts';
import { nameOfResource } from './registration.ts';
import { bringUp, keepCurrent, type RegistrationState, type Upkeep } from './upkeep.ts';

/** What every guard is told, whatever protocol the server behind it speaks. */
export type PartOptions = Pick<
  GuardOptions,
  'issuer' | 'resource' | 'key' | 'name' | 'deployment' | 'version' | 'silence' | 'logger'
>;

export type Parts = Awaited<ReturnType<typeof buildParts>>;

/** Throws TypeError for options that cannot work. */
export function checkOptions({ issuer, resource, name, silence }: PartOptions): void {
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

/** What one guard consists of before it protects anything. */
export async function buildParts(options: PartOptions) {
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
    metadata,
    registration,
    published,
    deployment: deploymentId(options.deployment ?? { kind: 'in_process', name, version: options.version ?? '1' }),
    link,
    point,
    lease,
    loop,
    nonces: proofNonces(options.key, () => lease.areNoncesRequired),
    verifyToken: accessTokenVerifier({ issuer, resource, keys, lease, renewLease: loop.renew, verdicts }),
    log,
    closing,
    rounds: rounds(),
    running: new Set<Promise<unknown>>(),
  };
}

/** The server behind a guard. */
export interface Protected {
  readonly inner: McpFetch;
  readonly listTools: () => Promise<readonly ToolDefinition[]>;
  readonly facts: ((call: FactsCall) => Promise<JsonObject>) | undefined;
}

/** Begins to register, to report the tools and to hold leases. */
export function startParts(
  options: Pick<GuardOptions, 'issuer' | 'resource' | 'proposedRisks' | 'onRegistration'>,
  parts: Parts,
  { inner, listTools, facts }: Protected,
): { readonly context: GuardContext; readonly ready: Promise<void> } {
  const { issuer, resource } = options;
  const { log, key, registration, deployment, closing, point } = parts;
  const manifest = new Manifest(listTools, log);
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
    facts,
    inFlight: new InFlightCalls(),
    challenged: new BoundedMap(CHALLENGED_MAX),
    holds: { count: 0 },
    reading: { count: 0 },
    running: parts.running,
    closing: closing.signal,
    log,
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
  return { context, ready };
}

/** Ends background work and connections. A run that ends now still gets its outcome recorded. */
export async function closeParts(parts: Parts): Promise<void> {
  parts.closing.abort();
  await drain(parts.running);
  await parts.link.close();
}

/** A run that does not end in time stays unknown, which is true. */
async function drain(running: ReadonlySet<Promise<unknown>>): Promise<void> {
  const late = new AbortController();
  const all = (async () => {
    while (running.size > 0) await Promise.allSettled(running);
  })();
  await Promise.race([all, sleep(CLOSE_WAIT_MS, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
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
