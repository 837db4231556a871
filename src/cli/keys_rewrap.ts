import { countLeft, rewrapColumn } from '../keys/rewrap.ts';
import { SEALED_COLUMNS } from '../server/sealed_columns.ts';
import { type KeysOptions, openKeyPlace } from './open_keys.ts';

/** Seals everything under the root key in force: `countersign keys rewrap`. */
export async function keysRewrap(options: KeysOptions): Promise<void> {
  const place = await openKeyPlace(options);
  try {
    let left = 0;
    let unreadable = 0;
    for (const column of SEALED_COLUMNS) {
      const outcome = await rewrapColumn(place.store, column);
      process.stdout.write(`${column.table}.${column.column}: ${outcome.rewrapped} sealed anew.\n`);
      unreadable += outcome.unreadable;
      left += await countLeft(place.store, column);
    }
    process.stdout.write(conclusion(left, unreadable, place.isRunning));
    if (left > 0) process.exitCode = 1;
  } finally {
    await place.close();
  }
}

function conclusion(left: number, unreadable: number, isRunning: boolean): string {
  if (unreadable > 0) {
    return (
      `${unreadable} values open with neither root key and were left as they are: keep every root key you have, and check ` +
      'that root_key_file and root_key_previous_file are those of this database.\n'
    );
  }
  if (left > 0) {
    return (
      `${left} values are still under another root key: servers wrote them meanwhile. Check that all servers have the new ` +
      'key as root_key_file, and run this again.\n'
    );
  }
  const wait = isRunning ? ' What was sealed in Redis ends within ten minutes: remove it after that.' : '';
  return `Nothing is left under another root key: root_key_previous_file can go.${wait}\n`;
}
