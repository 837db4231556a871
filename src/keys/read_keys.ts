import { performance } from 'node:perf_hooks';
import type { JWK } from 'jose';
import { type Selectable, sql } from 'kysely';
import type { KeysTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { openKey } from './make_key.ts';
import type { KeyTimes } from './state.ts';

type KeyRow = Selectable<KeysTable>;

export interface OpenedKey extends KeyTimes, Pick<KeyRow, 'kid' | 'purpose'> {
  /** A private JWK as JSON, or the secret of cookies. */
  readonly secret: string;
}

/** The keys that verify, or will, as they were at one moment. */
export interface KeyReading {
  readonly keys: readonly OpenedKey[];
  /** The clock of PostgreSQL, and that of this process since its start, when they were read. */
  readonly databaseTime: Date;
  readonly readAtMs: number;
  /** When they were asked for: what was revoked later may not be in the answer, however late that was read. */
  readonly askedAtMs: number;
}

/** Reads the keys in force. What is `known` is not opened again: a key never changes. */
export async function readKeys(store: Pick<Store, 'db' | 'vault'>, known: readonly OpenedKey[]): Promise<KeyReading> {
  const askedAtMs = performance.now();
  const { rows } = await sql<KeyRow & { database_time: Date }>`
    select keys.*, clock_timestamp() as database_time from keys
    where purpose <> 'checkpoint' and state <> 'revoked'
      and (verifies_until is null or verifies_until > clock_timestamp())`.execute(store.db);
  const readAtMs = performance.now();
  const secrets = new Map(known.map((key) => [key.kid, key.secret]));
  const keys = rows.map(({ kid, purpose, state, activates_at, retires_at, verifies_until, private_sealed }) => {
    const secret = secrets.get(kid) ?? openNamed(store, kid, private_sealed);
    return { kid, purpose, state, activates_at, retires_at, verifies_until, secret };
  });
  return { keys, databaseTime: rows[0]?.database_time ?? new Date(), readAtMs, askedAtMs };
}

export function timeOf({ databaseTime, readAtMs }: KeyReading): Date {
  return new Date(databaseTime.getTime() + performance.now() - readAtMs);
}

export function privatePart(key: OpenedKey): JWK {
  return JSON.parse(key.secret) as JWK;
}

/** From what was sealed, not from the column beside it: whoever can write to the table must not publish a key of theirs. */
export function publicPart(key: OpenedKey): JWK {
  const { d: _, ...publicJwk } = privatePart(key);
  return publicJwk;
}

function openNamed(store: Pick<Store, 'vault'>, kid: string, sealed: Buffer): string {
  const secret = openKey(store.vault, sealed);
  if (secret.startsWith('{') && (JSON.parse(secret) as JWK).kid !== kid) {
    throw new Error(`The key ${kid} holds another one: its row in "keys" was changed by hand.`);
  }
  return secret;
}
