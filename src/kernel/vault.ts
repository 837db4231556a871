import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const VERSION = 1;
const ENVELOPE_BYTES = 1 + NONCE_BYTES + TAG_BYTES;

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
}

/** `rootKey` is 32 random bytes, kept apart from the database it protects. */
export function createVault(rootKey: Uint8Array): Vault {
  if (rootKey.byteLength !== KEY_BYTES) {
    throw new TypeError(`The root key must have ${KEY_BYTES} bytes; this one has ${rootKey.byteLength}.`);
  }
  const root = Buffer.from(rootKey);
  // As key objects: handing over the bytes costs each use a copy into OpenSSL, five times the HMAC of an event.
  const keys = new Map<string, KeyObject>();
  const keyOf = (use: 'seal' | 'data-key' | 'hmac', purpose: string): KeyObject => {
    const info = `countersign-vault/1\0${use}\0${purpose}`;
    const known = keys.get(info);
    if (known !== undefined) return known;
    const key = createSecretKey(Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), info, KEY_BYTES)));
    keys.set(info, key);
    return key;
  };
  return {
    seal: (purpose, plaintext) => encrypt(keyOf('seal', purpose), plaintext, purpose),
    open: (purpose, sealed) => decrypt(keyOf('seal', purpose), sealed, purpose),
    newDataKey(purpose) {
      const key = randomBytes(KEY_BYTES);
      return { key, wrapped: encrypt(keyOf('data-key', purpose), key, purpose) };
    },
    openDataKey: (purpose, wrapped) => decrypt(keyOf('data-key', purpose), wrapped, purpose),
    hmac: (purpose, data) => createHmac('sha256', keyOf('hmac', purpose)).update(data).digest(),
  };
}

/** Seals under a data key from `newDataKey`. */
export function sealWith(key: Uint8Array, plaintext: string | Uint8Array): Buffer {
  return encrypt(key, plaintext, '');
}

export function openWith(key: Uint8Array, sealed: Uint8Array): Buffer {
  return decrypt(key, sealed, '');
}

// version (1 byte), nonce (12), ciphertext, tag (16); the version and the purpose are authenticated.
function encrypt(key: Uint8Array | KeyObject, plaintext: string | Uint8Array, purpose: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(purpose));
  const body = Buffer.concat([
    cipher.update(typeof plaintext === 'string' ? Buffer.from(plaintext) : plaintext),
    cipher.final(),
  ]);
  return Buffer.concat([Buffer.of(VERSION), nonce, body, cipher.getAuthTag()]);
}

function decrypt(key: Uint8Array | KeyObject, sealed: Uint8Array, purpose: string): Buffer {
  const about = purpose === '' ? 'The sealed record' : `The sealed "${purpose}"`;
  if (sealed.byteLength < ENVELOPE_BYTES) throw new VaultError(`${about} is too short: it was cut off.`);
  if (sealed[0] !== VERSION) {
    throw new VaultError(`${about} has format version ${sealed[0]}; this release reads version ${VERSION}.`);
  }
  const tagAt = sealed.byteLength - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 1 + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(associatedData(purpose));
  decipher.setAuthTag(sealed.subarray(tagAt));
  const body = decipher.update(sealed.subarray(1 + NONCE_BYTES, tagAt));
  try {
    return Buffer.concat([body, decipher.final()]);
  } catch (cause) {
    throw new VaultError(
      `${about} cannot be opened: it was sealed with another key or for another purpose, or its bytes changed. ` +
        'Check that the key belongs to this database.',
      { cause },
    );
  }
}

function associatedData(purpose: string): Buffer {
  return Buffer.from(`countersign-vault/${VERSION}\0${purpose}`);
}
