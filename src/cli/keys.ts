import { findCheckpointKey } from '../events/checkpoint_key.ts';
import { revokeCheckpointKey, rotateCheckpointKey } from '../events/rotate_checkpoint_key.ts';
import { type ListedKey, listKeys } from '../keys/list.ts';
import { type Retirement, retireKey, revokeKey } from '../keys/retire.ts';
import { rotateKey, SIGNING_PURPOSES } from '../keys/rotate.ts';
import type { KeyPurpose } from '../store/postgres/tables.ts';
import { CommandError } from './command_error.ts';
import { type KeyPlace, type KeysOptions, openKeyPlace } from './open_keys.ts';

const PURPOSES: readonly KeyPurpose[] = [...SIGNING_PURPOSES, 'checkpoint'];

/** Shows every key: `countersign keys list`. */
export async function keysList(options: KeysOptions): Promise<void> {
  await withKeys(options, async ({ store }) => {
    const keys = await listKeys(store);
    process.stdout.write(options.json ? `${JSON.stringify(keys)}\n` : tableOf(keys));
  });
}

/** Publishes new keys: `countersign keys rotate [purpose...]`. */
export async function keysRotate(purposes: readonly string[], options: KeysOptions): Promise<void> {
  const wrong = purposes.find((purpose) => !PURPOSES.includes(purpose as KeyPurpose));
  if (wrong !== undefined) throw new CommandError(`There are no keys for "${wrong}": ${PURPOSES.join(', ')}.`);
  await withKeys(options, async (place) => {
    const lines: object[] = [];
    const wanted = purposes.length === 0 ? SIGNING_PURPOSES : PURPOSES.filter((purpose) => purposes.includes(purpose));
    for (const purpose of wanted) {
      const made = purpose === 'checkpoint' ? await rotateCheckpoint(place) : await rotate(place, purpose);
      lines.push(made.json);
      if (!options.json) process.stdout.write(`${made.text}\n`);
    }
    if (options.json) process.stdout.write(`${JSON.stringify(lines)}\n`);
  });
}

/** Ends one key: `countersign keys retire KID [--now]`. */
export async function keysRetire(kid: string, options: KeysOptions & { readonly now?: boolean }): Promise<void> {
  await withKeys(options, async (place) => {
    const { store, config } = place;
    const checkpoint = await findCheckpointKey(store, store.db, store.issuer);
    if (kid === checkpoint?.kid) {
      const { text, json } = options.now === true ? await revokeCheckpoint(place, kid) : await rotateCheckpoint(place);
      process.stdout.write(options.json ? `${JSON.stringify(json)}\n` : `${text}\n`);
      return;
    }
    const end = options.now === true ? revokeKey : retireKey;
    const ended = await end(store, kid, config.keys.publish_seconds);
    if (!ended.ok) throw new CommandError(ended.refusal);
    process.stdout.write(options.json ? `${JSON.stringify(ended.value)}\n` : describeRetirement(ended.value, place));
  });
}

interface Said {
  readonly text: string;
  readonly json: object;
}

async function rotate({ store, config }: KeyPlace, purpose: (typeof SIGNING_PURPOSES)[number]): Promise<Said> {
  const rotation = await rotateKey(store, purpose, config.keys.publish_seconds);
  const { kid, signsFrom, wasUnderWay } = rotation;
  const text = wasUnderWay
    ? `${purpose}: a rotation is under way; ${kid} signs from ${signsFrom.toISOString()}.`
    : `${purpose}: ${kid} is published and signs from ${signsFrom.toISOString()}.`;
  return { text, json: rotation };
}

async function rotateCheckpoint({ store }: KeyPlace): Promise<Said> {
  const { kid, verifierKey } = await rotateCheckpointKey(store);
  const text =
    `checkpoint: ${kid} signs from now on. The log announces it, so that the verifier key you handed out still verifies ` +
    `everything. From now on hand out: ${verifierKey}`;
  return { text, json: { purpose: 'checkpoint', kid, verifierKey } };
}

async function revokeCheckpoint({ store }: KeyPlace, revoked: string): Promise<Said> {
  const { kid, verifierKey } = await revokeCheckpointKey(store);
  const text =
    `checkpoint: ${revoked} is revoked and ${kid} signs from now on. Hand the new verifier key to everybody who verifies the ` +
    `log; whoever has the old one only is told that newer checkpoints cannot be trusted: ${verifierKey}`;
  return { text, json: { purpose: 'checkpoint', kid, verifierKey, revoked } };
}

function describeRetirement({ kid, purpose, isOver, verifiesUntil, successor }: Retirement, place: KeyPlace): string {
  const until = isOver
    ? `${kid} (${purpose}) verifies nothing from now on.`
    : `${kid} (${purpose}) verifies what it signed until ${verifiesUntil?.toISOString()}.`;
  const next = successor === null ? '' : ` ${successor.kid} signs from ${successor.signsFrom.toISOString()}.`;
  const known = place.isRunning && isOver ? ' Running servers know within a second, guards with their next lease.' : '';
  return `${until}${next}${known}\n`;
}

function tableOf(keys: readonly ListedKey[]): string {
  const rows = keys.map(({ kid, purpose, state, since, until }) => [
    kid,
    purpose,
    state,
    since?.toISOString() ?? '',
    until?.toISOString() ?? '',
  ]);
  const all = [['kid', 'purpose', 'state', 'since', 'until'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

async function withKeys(options: KeysOptions, work: (place: KeyPlace) => Promise<void>): Promise<void> {
  const place = await openKeyPlace(options);
  try {
    await work(place);
  } finally {
    await place.close();
  }
}
