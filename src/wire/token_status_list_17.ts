import { deflateSync, inflateSync } from 'node:zlib';

// draft-ietf-oauth-status-list-17. One bit for each token: 0 is VALID, 1 is INVALID (§7.1). Lists have one size; the number of a
// list is part of its address.

/** §5.1: the type of a Status List Token as a JWT, and its media type. */
export const STATUS_LIST_TYPE = 'statuslist+jwt';
export const STATUS_LIST_MEDIA_TYPE = 'application/statuslist+jwt';
/** Tokens of one list: 8 KiB before compression, nearly nothing after it. */
export const STATUSES_PER_LIST = 65_536;
const BITS = 1;
const STATUS_LIST_BYTES = (STATUSES_PER_LIST * BITS) / 8;

/** §6.1: the claim `status` of a token that is in a list. */
export interface StatusReference {
  readonly status_list: { readonly idx: number; readonly uri: string };
}

/** The claim `status_list` of a Status List Token (§5.1, §4.2). */
export interface StatusListClaim {
  readonly bits: number;
  /** The bytes, compressed by DEFLATE in the ZLIB format, in base64url. */
  readonly lst: string;
}

export function statusListUri(issuer: string, list: number): string {
  return `${issuer}/token-statuses/${list}`;
}

/** Where a token of this number, counted over all lists, is found. Lists are numbered from 1. */
export function statusReference(issuer: string, number: number): StatusReference {
  const list = Math.floor(number / STATUSES_PER_LIST) + 1;
  return { status_list: { idx: number % STATUSES_PER_LIST, uri: statusListUri(issuer, list) } };
}

/** §4.1: the first status is the least significant bit of the first byte. */
export function writeStatusList(invalid: readonly number[]): StatusListClaim {
  const bytes = Buffer.alloc(STATUS_LIST_BYTES);
  for (const index of invalid) bytes[index >> 3]! |= 1 << (index & 7);
  return { bits: BITS, lst: deflateSync(bytes, { level: 9 }).toString('base64url') };
}

/** Whether the status at this place is anything but VALID; null where the list ends before it (§8.3). */
export function isInvalid({ lst }: StatusListClaim, index: number): boolean | null {
  const bytes = inflateSync(Buffer.from(lst, 'base64url'), { maxOutputLength: STATUS_LIST_BYTES });
  const byte = bytes[index >> 3];
  return byte === undefined ? null : (byte & (1 << (index & 7))) !== 0;
}
