import { randomBytes } from 'node:crypto';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const ID_BYTES = 16;
const SECRET_BYTES = 32;

/** One prefix per kind of record, so that an id in a log or a support mail says what it names. */
export type IdPrefix =
  | 'agt' // agent
  | 'apt' // API token
  | 'att' // attempt, made by a guard for one execution
  | 'dec' // decision
  | 'dlg' // delegation
  | 'gin' // guard instance
  | 'gra' // elevated grant
  | 'grp' // group of people
  | 'msg' // message of a channel
  | 'own' // ownership of an agent
  | 'prs' // person
  | 'red' // redemption
  | 'ssf' // stream of shared signals
  | 'stp' // step-up
  | 'tpl' // task template
  | 'tsk' // task
  | 'tsv' // tool server
  | 'txn' // transaction challenge
  | 'wkl'; // workload of an agent

/** A new random id of 128 bits: `prefix_` and 26 characters of lower-case base32 (RFC 4648 §6, no padding). */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${base32(randomBytes(ID_BYTES))}`;
}

export function isId(prefix: IdPrefix, value: string): boolean {
  return value.length === prefix.length + 27 && new RegExp(`^${prefix}_[a-z2-7]{26}$`).test(value);
}

/** A new secret of 256 bits in base64url, for links, cookies and tokens. Only its SHA-256 may be stored. */
export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function base32(bytes: Uint8Array): string {
  let text = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(buffer >> bits) & 31];
    }
    buffer &= (1 << bits) - 1;
  }
  return bits > 0 ? text + ALPHABET[(buffer << (5 - bits)) & 31] : text;
}
