import { performance } from 'node:perf_hooks';
import type { JWK } from 'jose';
import type { Unsubscribe } from '../store/ephemeral.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { KEYS_POLL_MS, KEYS_STALE_SECONDS_MAX, KEYS_UNKNOWN_ID_MS_MIN, type SigningPurpose } from './limits.ts';
import { makeMissingKeys } from './missing.ts';
import { oneAtATime } from './one_at_a_time.ts';
import { type KeyReading, privatePart, publicPart, readKeys, timeOf } from './read_keys.ts';
import { inOrderOfUse, keyStateAt } from './state.ts';

/** The keys could not be read for so long that one of them may have been revoked meanwhile. An outage, not a refusal. */
export class KeysOutdated extends Error {
  override readonly name = 'KeysOutdated';
}

/** The keys of the installation as this process knows them, at most a second old while PostgreSQL answers. */
export interface Keyring {
  /** The private key that signs now. Throws `KeysOutdated` when that is not known. */
  signer(purpose: 'token' | 'lease'): JWK;
  /** Private keys that verify now, the one that signs first. */
  privateKeys(purpose: 'token' | 'lease'): JWK[];
  /** Public keys that verify now, also those that do not sign yet; of both purposes unless one is named. */
  published(purpose?: 'token' | 'lease'): JWK[];
  /** The ids of what is published. */
  kids(): string[];
  /** Cookie keys: the first signs, all verify. */
  secrets(): string[];
  /** False once the keys could not be read for too long: nothing may be signed or verified then. */
  isCurrent(): boolean;
  onChange(listener: () => void): Unsubscribe;
  /** Reads what has committed by now. Rejects when PostgreSQL does not answer; the last known keys stay. */
  refresh(): Promise<void>;
  /** `refresh` for a key id that nobody here knows: at most four times a second, whatever is asked. */
  refreshForUnknown(): Promise<void>;
  stop(): Promise<void>;
}

/** Loads the keys, after making those that are missing: of many processes that start at once, one makes them. */
export async function openKeyring(store: Store): Promise<Keyring> {
  await makeMissingKeys(store);
  let reading = await readKeys(store, []);
  let seen = inUse(reading);
  const listeners = new Set<() => void>();
  const notify = () => {
    const now = inUse(reading);
    if (now === seen) return;
    seen = now;
    for (const listener of listeners) listener();
  };
  const refresh = oneAtATime(async () => {
    reading = await readKeys(store, reading.keys);
    notify();
  });
  const stopWatching = await watch(store, refresh, notify);
  return {
    ...view(() => reading),
    onChange(listener) {
      const own = () => listener();
      listeners.add(own);
      return () => listeners.delete(own);
    },
    refresh,
    async refreshForUnknown() {
      if (performance.now() - reading.readAtMs >= KEYS_UNKNOWN_ID_MS_MIN) await refresh();
    },
    async stop() {
      stopWatching();
      listeners.clear();
      await refresh.settled();
    },
  };
}

function view(reading: () => KeyReading): Omit<Keyring, 'onChange' | 'refresh' | 'refreshForUnknown' | 'stop'> {
  const using = (purpose: SigningPurpose) =>
    inOrderOfUse(
      reading().keys.filter((key) => key.purpose === purpose),
      timeOf(reading()),
    );
  const isCurrent = () => performance.now() - reading().askedAtMs <= KEYS_STALE_SECONDS_MAX * 1000;
  const published = (purpose?: 'token' | 'lease') =>
    (purpose === undefined ? (['token', 'lease'] as const) : [purpose]).flatMap((one) =>
      using(one).map((key) => publicPart(key)),
    );
  return {
    signer(purpose) {
      if (!isCurrent()) {
        const words = `The keys could not be read for ${KEYS_STALE_SECONDS_MAX} s, so nothing is signed: one may have been revoked.`;
        throw new KeysOutdated(words);
      }
      const first = using(purpose)[0];
      if (first === undefined || keyStateAt(first, timeOf(reading())) !== 'signing') {
        throw new KeysOutdated(`No ${purpose} key signs now. Make one: countersign keys rotate ${purpose}`);
      }
      return privatePart(first);
    },
    privateKeys: (purpose) => using(purpose).map(privatePart),
    published,
    kids: () => published().map((key) => key.kid!),
    secrets: () => using('cookie').map((key) => key.secret),
    isCurrent,
  };
}

/** Reads again each second and when told; answers how to stop. `notify` is for what time alone changes. */
async function watch(store: Store, refresh: () => Promise<void>, notify: () => void): Promise<() => void> {
  let isFailing = false;
  const tick = async () => {
    try {
      await refresh();
      isFailing = false;
    } catch (error) {
      if (!isFailing) store.log.warn({ err: error }, 'the keys cannot be read; those known last are used for a while');
      isFailing = true;
      notify();
    }
  };
  const timer = setInterval(() => void tick(), KEYS_POLL_MS);
  timer.unref();
  const unsubscribe = await store.ephemeral
    .subscribe(CHANNELS.keys, () => void tick())
    .catch((error: unknown) => {
      store.log.warn({ err: error }, 'changes of the keys are not announced to this process; it looks each second');
      return () => {};
    });
  return () => {
    clearInterval(timer);
    unsubscribe();
  };
}

/** What signs and verifies now, and in which order: while it is equal nobody needs to be told. */
function inUse(reading: KeyReading): string {
  const now = timeOf(reading);
  return inOrderOfUse(reading.keys, now)
    .map((key) => `${key.purpose}:${key.kid}:${keyStateAt(key, now)}`)
    .join(' ');
}
