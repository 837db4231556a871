import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../kernel/logger.ts';
import type { RegistrationAnswer } from '../wire/guard_api.ts';
import type { DecisionPoint } from './decision_point.ts';
import type { LeaseLoop } from './lease_loop.ts';
import { REGISTRATION_POLL_MS, REGISTRATION_POLL_MS_MAX, RELIST_SECONDS, START_RETRY_MS_MAX } from './limits.ts';
import type { Manifest } from './manifest.ts';
import { askForRegistration, type Registration } from './registration.ts';

/** What calls need to know of the registration. */
export interface RegistrationState {
  clientId: string | undefined;
  /** While an administrator has not accepted it. */
  nonce: string | undefined;
  isActive: boolean;
}

export interface Upkeep {
  readonly registration: Registration;
  readonly state: RegistrationState;
  readonly manifest: Manifest;
  readonly point: DecisionPoint;
  readonly lease: Pick<LeaseLoop, 'start'>;
  readonly closing: AbortSignal;
  readonly onRegistration: ((answer: RegistrationAnswer) => void) | undefined;
  readonly log: Logger;
  /** The fingerprint of the tools that the server was told of last. */
  reported: string;
}

/** Registers if needed, reports the tools and gets a lease; resolves then, rejects when the guard closes. */
export async function bringUp(upkeep: Upkeep): Promise<void> {
  await untilDone(upkeep, 'listing the tools', async () => {
    await upkeep.manifest.refresh();
    if (!upkeep.manifest.isKnown) throw new Error('The tools are not known yet.');
  });
  if (!upkeep.state.isActive) await untilAccepted(upkeep);
  const leased = upkeep.lease.start();
  await untilDone(upkeep, 'reporting the tools', () => report(upkeep));
  await leased;
  upkeep.closing.throwIfAborted();
}

/**
 * Lists again from time to time, and when told, and reports what differs from the last report: a call that was about to
 * run may have listed in between. Ends when the guard closes.
 */
export async function keepCurrent(upkeep: Upkeep, nextRound: () => Promise<void>): Promise<void> {
  while (!upkeep.closing.aborted) {
    await Promise.race([pause(RELIST_SECONDS * 1000, upkeep.closing), nextRound()]);
    if (upkeep.closing.aborted) return;
    await upkeep.manifest.refresh();
    if (upkeep.manifest.fingerprint === upkeep.reported) continue;
    try {
      await report(upkeep);
    } catch (error) {
      upkeep.log.warn({ error }, 'the changed tools could not be reported; trying again at the next round');
    }
  }
}

async function report(upkeep: Upkeep): Promise<void> {
  const { point, manifest, log } = upkeep;
  const { fingerprint } = manifest;
  const answer = await point.reportManifest(manifest.definitions());
  if (!answer.ok) throw new Error(`The server did not take the tools: ${answer.refusal.message}`);
  upkeep.reported = fingerprint;
  const { accepted, waiting } = answer.value;
  log.info({ accepted, waiting }, waiting.length === 0 ? 'all tools are accepted' : 'some tools wait for their owner');
}

async function untilAccepted(upkeep: Upkeep): Promise<void> {
  const { state, registration, manifest, log } = upkeep;
  let told = '';
  let pauseMs = REGISTRATION_POLL_MS;
  while (true) {
    await untilDone(upkeep, 'registering this guard', async () => {
      const answer = await askForRegistration(registration, manifest.definitions());
      state.nonce = answer.state === 'pending' ? answer.nonce : undefined;
      state.isActive = answer.state === 'active';
      state.clientId = state.isActive ? answer.client_id : undefined;
      if (answer.state === told) return;
      told = answer.state;
      log.info({ state: answer.state, console_url: answer.console_url }, 'the registration of this guard');
      upkeep.onRegistration?.(answer);
    });
    if (state.isActive) return;
    await pause(pauseMs, upkeep.closing);
    pauseMs = Math.min(pauseMs * 1.3, REGISTRATION_POLL_MS_MAX);
    upkeep.closing.throwIfAborted();
  }
}

async function untilDone(upkeep: Upkeep, what: string, attempt: () => Promise<void>): Promise<void> {
  for (let retryMs = REGISTRATION_POLL_MS / 4; ; retryMs = Math.min(retryMs * 2, START_RETRY_MS_MAX)) {
    upkeep.closing.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      upkeep.log.warn({ error, retry_ms: retryMs }, `${what} failed; trying again`);
      await pause(retryMs, upkeep.closing);
    }
  }
}

// Background work alone must not keep a process alive.
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
}
