import { sha256 } from '../../kernel/digest.ts';
import { TAGS } from './limits.ts';

/** What names an entry: a digest, since what it is made from may be a credential or long. */
export interface EntryName {
  /** Entries of one tag share a slot of a cluster. */
  readonly tag: number;
  readonly name: string;
}

/** `kind` keeps entries of different sorts apart; `parts` cannot run into each other. */
export function entryName(kind: string, ...parts: readonly string[]): EntryName {
  return entryOf(kind, sha256(JSON.stringify([kind, ...parts])).toString('base64url'));
}

/** The name again of an entry whose digest was kept. */
export function entryOf(kind: string, digest: string): EntryName {
  return { tag: Buffer.from(digest, 'base64url')[0]! % TAGS, name: `${kind}:${digest}` };
}

export function digestOf(entry: EntryName): string {
  return entry.name.slice(entry.name.indexOf(':') + 1);
}

/** The whole key. The epoch is part of it, so that a new epoch leaves everything older out of reach. */
export function keyOf(prefix: string, epochId: string, tag: number, name: string): string {
  return `${prefix}:{${tag}}:${epochId}:${name}`;
}
