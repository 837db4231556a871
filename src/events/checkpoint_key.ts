import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { sql } from 'kysely';
import type { JsonObject } from '../kernel/json.ts';
import type { Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { append } from './append.ts';
import { type NoteSigner, type NoteVerifier, parseVerifierKey, verifierKeyText } from './signed_note.ts';

/** The key that signs checkpoints, named by the issuer. */
export interface CheckpointKey extends NoteSigner {
  readonly kid: string;
  readonly verifier: NoteVerifier;
  /** Hand this out: with it anybody verifies an export of the log without this server. */
  readonly verifierKey: string;
}

/** The vault's purpose for the private key at rest. */
export const CHECKPOINT_KEY_PURPOSE = 'checkpoint-key';
/** Of processes that start at once, one makes the key. The number only has to differ from other locks of ours. */
const MAKE_KEY_LOCK = 7_310_002;

/** The key that is in force, made on first use. */
export async function loadCheckpointKey(store: Store): Promise<CheckpointKey> {
  const known = await findCheckpointKey(store, store.db, store.issuer);
  if (known !== undefined) return known;
  return transact(store, async (tx, afterCommit) => {
    await sql`select pg_advisory_xact_lock(${MAKE_KEY_LOCK})`.execute(tx);
    const madeMeanwhile = await findCheckpointKey(store, tx, store.issuer);
    if (madeMeanwhile !== undefined) return madeMeanwhile;
    const key = await makeCheckpointKey(store, tx);
    await append(store, tx, afterCommit, { kind: 'key.made', ids: announcementOf(key) });
    return key;
  });
}

/** Makes a key that is in force from the commit on; the caller ends the one before and appends the event. */
export async function makeCheckpointKey(store: Pick<Store, 'vault' | 'issuer'>, tx: Tx): Promise<CheckpointKey> {
  const pair = generateKeyPairSync('ed25519');
  const key = checkpointKey(store.issuer, pair.privateKey);
  await tx
    .insertInto('keys')
    .values({
      kid: key.kid,
      purpose: 'checkpoint',
      algorithm: 'Ed25519',
      public_jwk: JSON.stringify(pair.publicKey.export({ format: 'jwk' }) as JsonObject),
      private_sealed: store.vault.seal(
        CHECKPOINT_KEY_PURPOSE,
        pair.privateKey.export({ format: 'der', type: 'pkcs8' }),
      ),
      state: 'active',
    })
    .execute();
  return key;
}

/** The ids of the event that announces a key: whoever trusts what signs that event may go on with this key. */
export function announcementOf(key: CheckpointKey): Readonly<Record<string, string>> {
  return { kid: key.kid, purpose: 'checkpoint', algorithm: 'Ed25519', verifier_key: key.verifierKey };
}

/** The key in force, if there is one; `known` is not opened again while it is that key. */
export async function findCheckpointKey(
  store: Pick<Store, 'vault'>,
  db: Store['db'] | Tx,
  name: string,
  known?: CheckpointKey,
): Promise<CheckpointKey | undefined> {
  const row = await db
    .selectFrom('keys')
    .select(['kid', 'private_sealed'])
    .where('purpose', '=', 'checkpoint')
    .where('state', '=', 'active')
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined || row.kid === known?.kid) return row === undefined ? undefined : known;
  const der = store.vault.open(CHECKPOINT_KEY_PURPOSE, row.private_sealed);
  return checkpointKey(name, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
}

function checkpointKey(name: string, privateKey: KeyObject): CheckpointKey {
  const verifierKey = verifierKeyText({ name, privateKey });
  const verifier = parseVerifierKey(verifierKey);
  if (!verifier.ok) throw new Error(`The issuer "${name}" cannot name the key of the event log: ${verifier.refusal}.`);
  const kid = `checkpoint-${verifier.value.id.toString('hex')}`;
  return { kid, name, privateKey, verifier: verifier.value, verifierKey };
}
