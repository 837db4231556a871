import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';

const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Sealed under a key that whoever opens it holds: a data key, or (by releases that knew one root key only) the root key. */
const PLAIN_VERSION = 1;
/** Names the root key it was sealed under. */
const NAMED_VERSION = 2;

/** Something sealed cannot be opened: another root key, another purpose, or changed bytes. Which one cannot be told. */
export class VaultError extends Error {
  override readonly name = 'VaultError';
}

/** Encrypts and authenticates what is stored. A purpose ("signing-key") has a key of its own and opens no other's. */
export interface Vault {
  seal(purpose: string, plaintext: string | Uint8Array): Buffer;
  open(purpose: string, sealed: Uint8Array): Buffer;
  /** A key for one record; destroying `wrapped` destroys what the key sealed. Keep `key` in memory only. */
  newDataKey(purpose: string): { key: Buffer; wrapped: Buffer };
  openDataKey(purpose: string, wrapped: Uint8Array): Buffer;
  hmac(purpose: string, data: string | Uint8Array): Buffer;
  /** Whether `mac` is the HMAC of `data` by the root key or the previous one; compared in constant time. */
  isMac(purpose: string, data: string | Uint8Array, mac: Uint8Array): boolean;
  /** What everything begins with that is sealed, or wrapped, under the root key in force. */
  readonly sealedPrefix: Buffer;
  /** The same content under the root key in force. */
  reseal(purpose: string, sealed: Uint8Array): Buffer;
  rewrapDataKey(purpose: string, wrapped: Uint8Array): Buffer;
}

interface RootKey {
  readonly id: Buffer;
  keyOf(use: 'seal' | 'data-key' | 'hmac', purpose: string): KeyObject;
}

/**
 * `rootKey` is 32 random bytes, kept apart from the database it protects; `previousRootKey` opens and verifies what it made
 * before, and makes nothing.
 */
export function createVault(rootKey: Uint8Array, previousRootKey?: Uint8Array): Vault {
  const current = createRootKey(rootKey);
  const roots = previousRootKey === undefined ? [current] : [current, createRootKey(previousRootKey)];
  const open = (use: 'seal' | 'data-key', purpose: string, sealed: Uint8Array) => {
    const candidates = sealed[0] === NAMED_VERSION ? roots.filter(({ id }) => isNamedBy(sealed, id)) : roots;
    return decryptWithFirst(
      candidates.map((root) => root.keyOf(use, purpose)),
      sealed,
      purpose,
    );
  };
  const seal = (use: 'seal' | 'data-key', purpose: string, plaintext: string | Uint8Array) =>
    encrypt(current.keyOf(use, purpose), plaintext, purpose, current.id);
  const macBy = (root: RootKey, purpose: string, data: string | Uint8Array) =>
    createHmac('sha256', root.keyOf('hmac', purpose)).update(data).digest();
  return {
    seal: (purpose, plaintext) => seal('seal', purpose, plaintext),
    open: (purpose, sealed) => open('seal', purpose, sealed),
    newDataKey(purpose) {
      const key = randomBytes(KEY_BYTES);
      return { key, wrapped: seal('data-key', purpose, key) };
    },
    openDataKey: (purpose, wrapped) => open('data-key', purpose, wrapped),
    hmac: (purpose, data) => macBy(current, purpose, data),
    isMac: (purpose, data, mac) =>
      roots.some((root) => {
        const expected = macBy(root, purpose, data);
        return mac.byteLength === expected.length && timingSafeEqual(mac, expected);
      }),
    sealedPrefix: Buffer.concat([Buffer.of(NAMED_VERSION), current.id]),
    reseal: (purpose, sealed) => seal('seal', purpose, open('seal', purpose, sealed)),
    rewrapDataKey: (purpose, wrapped) => seal('data-key', purpose, open('data-key', purpose, wrapped)),
  };
}

function createRootKey(rootKey: Uint8Array): RootKey {
  if (rootKey.byteLength !== KEY_BYTES) {
    throw new TypeError(`The root key must have ${KEY_BYTES} bytes; this one has ${rootKey.byteLength}.`);
  }
  const root = Buffer.from(rootKey);
  const derive = (info: string, bytes: number) =>
    Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), `countersign-vault/1\0${info}`, bytes));
  // As key objects: handing over the bytes costs each use a copy into OpenSSL, five times the HMAC of an event.
  const keys = new Map<string, KeyObject>();
  return {
    id: derive('id', KEY_ID_BYTES),
    keyOf(use, purpose) {
      const info = `${use}\0${purpose}`;
      const known = keys.get(info);
      if (known !== undefined) return known;
      const key = createSecretKey(derive(info, KEY_BYTES));
      keys.set(info, key);
      return key;
    },
  };
}

/** Seals under a data key from `newDataKey`. */
export function sealWith(key: Uint8Array, plaintext: string | Uint8Array): Buffer {
  return encrypt(key, plaintext, '');
}

export function openWith(key: Uint8Array, sealed: Uint8Array): Buffer {
  return decryptWithFirst([key], sealed, '');
}

function isNamedBy(sealed: Uint8Array, id: Buffer): boolean {
  return id.equals(sealed.subarray(1, 1 + KEY_ID_BYTES));
}

// version (1 byte), in version 2 the id of the root key (4), nonce (12), ciphertext, tag (16). What comes before the nonce
// and the purpose are authenticated.
function encrypt(key: Uint8Array | KeyObject, plaintext: string | Uint8Array, purpose: string, keyId?: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const head = keyId === undefined ? Buffer.of(PLAIN_VERSION) : Buffer.concat([Buffer.of(NAMED_VERSION), keyId]);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(head, purpose));
  const body = Buffer.concat([
    cipher.update(typeof plaintext === 'string' ? Buffer.from(plaintext) : plaintext),
    cipher.final(),
  ]);
  return Buffer.concat([head, nonce, body, cipher.getAuthTag()]);
}

function decryptWithFirst(keys: readonly (Uint8Array | KeyObject)[], sealed: Uint8Array, purpose: string): Buffer {
  const about = purpose === '' ? 'The sealed record' : `The sealed "${purpose}"`;
  const version = sealed[0];
  const headBytes = version === NAMED_VERSION ? 1 + KEY_ID_BYTES : 1;
  if (sealed.byteLength < headBytes + NONCE_BYTES + TAG_BYTES) {
    throw new VaultError(`${about} is too short: it was cut off.`);
  }
  if (version !== PLAIN_VERSION && version !== NAMED_VERSION) {
    throw new VaultError(`${about} has format version ${version}; this release reads up to version ${NAMED_VERSION}.`);
  }
  for (const key of keys) {
    const opened = decrypt(key, sealed, headBytes, purpose);
    if (opened !== null) return opened;
  }
  throw new VaultError(
    `${about} cannot be opened: it was sealed with another key or for another purpose, or its bytes changed. ` +
      'Check that the key belongs to this database.',
  );
}

function decrypt(key: Uint8Array | KeyObject, sealed: Uint8Array, headBytes: number, purpose: string): Buffer | null {
  const tagAt = sealed.byteLength - TAG_BYTES;
  const nonce = sealed.subarray(headBytes, headBytes + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(sealed.subarray(0, headBytes), purpose));
  decipher.setAuthTag(sealed.subarray(tagAt));
  const body = decipher.update(sealed.subarray(headBytes + NONCE_BYTES, tagAt));
  try {
    return Buffer.concat([body, decipher.final()]);
  } catch {
    return null;
  }
}

function associatedData(head: Uint8Array, purpose: string): Buffer {
  return Buffer.concat([Buffer.from(`countersign-vault/${head[0]}\0`), head.subarray(1), Buffer.from(purpose)]);
}
