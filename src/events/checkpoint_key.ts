import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { sql } from 'kysely';
import type { JsonObject } from '../kernel/json.ts';
import type { Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { append } from './append.ts';
import { type NoteSigner, type NoteVerifier, parseVerifierKey, verifierKeyText } from './signed_note.ts';

/** The key that signs checkpoints, named by the issuer. */
export interface CheckpointKey extends NoteSigner {
  readonly verifier: NoteVerifier;
  /** Hand this out: with it anybody verifies an export of the log without this server. */
  readonly verifierKey: string;
}

const PURPOSE = 'checkpoint-key';
/** Of processes that start at once, one makes the key. The number only has to differ from other locks of ours. */
const MAKE_KEY_LOCK = 7_310_002;

/** The key that is in force, made on first use. */
export async function loadCheckpointKey(store: Store): Promise<CheckpointKey> {
  const known = await findKey(store, store.db);
  if (known !== undefined) return known;
  return transact(store, async (tx, afterCommit) => {
    await sql`select pg_advisory_xact_lock(${MAKE_KEY_LOCK})`.execute(tx);
    const madeMeanwhile = await findKey(store, tx);
    if (madeMeanwhile !== undefined) return madeMeanwhile;
    const pair = generateKeyPairSync('ed25519');
    const key = checkpointKey(store.issuer, pair.privateKey);
    const kid = `checkpoint-${key.verifier.id.toString('hex')}`;
    await tx
      .insertInto('keys')
      .values({
        kid,
        purpose: 'checkpoint',
        algorithm: 'Ed25519',
        public_jwk: JSON.stringify(pair.publicKey.export({ format: 'jwk' }) as JsonObject),
        private_sealed: store.vault.seal(PURPOSE, pair.privateKey.export({ format: 'der', type: 'pkcs8' })),
        state: 'active',
      })
      .execute();
    await append(store, tx, afterCommit, { kind: 'key.made', ids: { key: kid, purpose: 'checkpoint' } });
    return key;
  });
}

async function findKey(store: Store, db: Store['db'] | Tx): Promise<CheckpointKey | undefined> {
  const row = await db
    .selectFrom('keys')
    .select('private_sealed')
    .where('purpose', '=', 'checkpoint')
    .where('state', '=', 'active')
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const der = store.vault.open(PURPOSE, row.private_sealed);
  return checkpointKey(store.issuer, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
}

function checkpointKey(name: string, privateKey: KeyObject): CheckpointKey {
  const verifierKey = verifierKeyText({ name, privateKey });
  const verifier = parseVerifierKey(verifierKey);
  if (!verifier.ok) throw new Error(`The issuer "${name}" cannot name the key of the event log: ${verifier.refusal}.`);
  return { name, privateKey, verifier: verifier.value, verifierKey };
}
