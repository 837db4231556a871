import { performance } from 'node:perf_hooks';
import type { JWK } from 'jose';
import { type Selectable, sql } from 'kysely';
import type { Unsubscribe } from '../store/ephemeral.ts';
import type { KeysTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import { KEYS_POLL_MS, KEYS_STALE_SECONDS_MAX, KEYS_UNKNOWN_ID_MS_MIN, type SigningPurpose } from './limits.ts';
import { openKey } from './make_key.ts';
import { makeMissingKeys } from './rotate.ts';
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

type KeyRow = Selectable<KeysTable>;
type Known = Omit<KeyRow, 'private_sealed'> & { readonly secret: string };

interface Reading {
  readonly keys: readonly Known[];
  /** The clock of PostgreSQL, and the monotonic clock of this process when it was read. */
  readonly databaseTime: Date;
  readonly readAtMs: number;
}

/** Loads the keys, after making those that are missing: of many processes that start at once, one makes them. */
export async function openKeyring(store: Store): Promise<Keyring> {
  await makeMissingKeys(store);
  let reading = await read(store, []);
  let seen = fingerprint(reading);
  let isFailing = false;
  const listeners = new Set<() => void>();

  const notify = () => {
    const now = fingerprint(reading);
    if (now === seen) return;
    seen = now;
    for (const listener of listeners) listener();
  };
  const refresh = oneAtATime(async () => {
    reading = await read(store, reading.keys);
    notify();
  });
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

  const using = (purpose: SigningPurpose) =>
    inOrderOfUse(
      reading.keys.filter((key) => key.purpose === purpose),
      nowOf(reading),
    );
  const isCurrent = () => performance.now() - reading.readAtMs <= KEYS_STALE_SECONDS_MAX * 1000;
  const privateKeys = (purpose: 'token' | 'lease') => using(purpose).map((key) => JSON.parse(key.secret) as JWK);
  const published = (purpose?: 'token' | 'lease') =>
    (purpose === undefined ? (['token', 'lease'] as const) : [purpose]).flatMap((one) =>
      using(one).map((key) => key.public_jwk as unknown as JWK),
    );
  return {
    signer(purpose) {
      if (!isCurrent()) throw new KeysOutdated(outdated());
      const first = using(purpose)[0];
      if (first === undefined || keyStateAt(first, nowOf(reading)) !== 'signing') {
        throw new KeysOutdated(
          `There is no ${purpose} key that signs now. Make one: countersign keys rotate ${purpose}`,
        );
      }
      return JSON.parse(first.secret) as JWK;
    },
    privateKeys,
    published,
    kids: () => published().map((key) => key.kid!),
    secrets: () => using('cookie').map((key) => key.secret),
    isCurrent,
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
      clearInterval(timer);
      unsubscribe();
      listeners.clear();
      await refresh.settled();
    },
  };
}

function outdated(): string {
  return `The keys could not be read for ${KEYS_STALE_SECONDS_MAX} s, so nothing is signed: one may have been revoked.`;
}

async function read(store: Store, known: readonly Known[]): Promise<Reading> {
  const { rows } = await sql<KeyRow & { database_time: Date }>`
    select keys.*, clock_timestamp() as database_time from keys
    where purpose <> 'checkpoint' and state <> 'revoked'
      and (verifies_until is null or verifies_until > clock_timestamp())`.execute(store.db);
  const secrets = new Map(known.map((key) => [key.kid, key.secret]));
  const keys = rows.map(({ private_sealed, database_time: _, ...row }) => ({
    ...row,
    // Opened once: a key never changes.
    secret: secrets.get(row.kid) ?? openKey(store.vault, private_sealed),
  }));
  return { keys, databaseTime: rows[0]?.database_time ?? new Date(), readAtMs: performance.now() };
}

function nowOf({ databaseTime, readAtMs }: Reading): Date {
  return new Date(databaseTime.getTime() + performance.now() - readAtMs);
}

/** What signs and verifies now, and in which order: equal means that nobody needs to be told. */
function fingerprint(reading: Reading): string {
  const now = nowOf(reading);
  const inUse = inOrderOfUse(reading.keys, now).map((key) => `${key.purpose}:${key.kid}:${keyStateAt(key, now)}`);
  return inUse.join(' ');
}

interface OneAtATime {
  (): Promise<void>;
  settled(): Promise<void>;
}

/** Runs `work` for callers that come together once, starting after the call of each: what committed before is seen. */
function oneAtATime(work: () => Promise<void>): OneAtATime {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    running = work().finally(() => {
      running = undefined;
    });
    return running;
  };
  const run = (): Promise<void> => {
    if (running === undefined) return start();
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined;
        return start();
      });
    return next;
  };
  return Object.assign(run, {
    settled: async () => {
      await running?.catch(() => {});
      await next?.catch(() => {});
    },
  });
}
