import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createVault, openWith, sealWith, VaultError } from '../../src/kernel/vault.ts';

const rootKey = randomBytes(32);
const vault = createVault(rootKey);

test('what was sealed opens again, text and bytes, also empty', () => {
  expect(vault.open('signing-key', vault.seal('signing-key', 'é secret')).toString()).toBe('é secret');
  expect(vault.open('p', vault.seal('p', Uint8Array.of(0, 255)))).toEqual(Buffer.of(0, 255));
  expect(vault.open('p', vault.seal('p', ''))).toHaveLength(0);
});

test('another vault with the same root key opens it; one with another root key says why not', () => {
  const sealed = vault.seal('p', 'x');
  expect(createVault(Uint8Array.from(rootKey)).open('p', sealed).toString()).toBe('x');
  expect(() => createVault(randomBytes(32)).open('p', sealed)).toThrow(/The sealed "p" cannot be opened.*another key/);
});

test('another purpose does not open it', () => {
  expect(() => vault.open('q', vault.seal('p', 'x'))).toThrow(VaultError);
});

test('no byte can be changed, added or cut off', () => {
  const sealed = vault.seal('p', 'some text');
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed);
    changed[at] = changed[at]! ^ 1;
    expect(() => vault.open('p', changed), `byte ${at}`).toThrow(VaultError);
  }
  expect(() => vault.open('p', Buffer.concat([sealed, Buffer.of(0)]))).toThrow(VaultError);
  expect(() => vault.open('p', sealed.subarray(0, -1))).toThrow(VaultError);
  expect(() => vault.open('p', sealed.subarray(0, 20))).toThrow('too short');
});

test('a newer format is named as such', () => {
  const sealed = vault.seal('p', 'x');
  sealed[0] = 3;
  expect(() => vault.open('p', sealed)).toThrow('format version 3; this release reads up to version 2');
});

test('what was sealed before root keys had names opens, with either key', () => {
  const before = Buffer.from('AYPtzE3z4Bn9h1plPdE=', 'base64');
  expect(() => vault.open('p', before)).toThrow('too short');
  const key = Buffer.alloc(32, 5);
  const sealed = sealedByVersion1(key, 'p', 'x');
  expect(createVault(key).open('p', sealed).toString()).toBe('x');
  expect(createVault(rootKey, key).open('p', sealed).toString()).toBe('x');
  expect(() => vault.open('p', sealed)).toThrow(VaultError);
});

describe('with the root key before', () => {
  const old = createVault(Buffer.alloc(32, 5));
  const both = createVault(rootKey, Buffer.alloc(32, 5));
  const bothTheOtherWay = createVault(Buffer.alloc(32, 5), rootKey);

  test('what either sealed opens, and what is sealed anew opens with the new one alone', () => {
    const sealed = old.seal('p', 'x');
    expect(both.open('p', sealed).toString()).toBe('x');
    expect(() => vault.open('p', sealed)).toThrow(VaultError);
    expect(vault.open('p', both.seal('p', 'y')).toString()).toBe('y');
    expect(vault.open('p', both.reseal('p', sealed)).toString()).toBe('x');
    const { key, wrapped } = old.newDataKey('p');
    expect(both.openDataKey('p', wrapped)).toEqual(key);
    expect(vault.openDataKey('p', both.rewrapDataKey('p', wrapped))).toEqual(key);
    expect(() => both.reseal('q', sealed)).toThrow(VaultError);
  });

  test('servers that have both, each with another first, understand each other', () => {
    expect(bothTheOtherWay.open('p', both.seal('p', 'x')).toString()).toBe('x');
    expect(both.open('p', bothTheOtherWay.seal('p', 'x')).toString()).toBe('x');
    expect(bothTheOtherWay.isMac('p', 'x', both.hmac('p', 'x'))).toBe(true);
    expect(both.isMac('p', 'x', bothTheOtherWay.hmac('p', 'x'))).toBe(true);
  });

  test('a keyed hash is made with the new one and verifies with both', () => {
    expect(both.hmac('p', 'x')).toEqual(vault.hmac('p', 'x'));
    expect(both.isMac('p', 'x', old.hmac('p', 'x'))).toBe(true);
    expect(vault.isMac('p', 'x', old.hmac('p', 'x'))).toBe(false);
    expect(both.isMac('p', 'y', old.hmac('p', 'x'))).toBe(false);
    expect(both.isMac('p', 'x', Buffer.alloc(0))).toBe(false);
  });

  test('what is not sealed under the key in force shows', () => {
    const begin = (sealed: Buffer) => sealed.subarray(0, vault.sealedPrefix.length);
    expect(begin(vault.seal('p', 'x'))).toEqual(vault.sealedPrefix);
    expect(begin(both.newDataKey('p').wrapped)).toEqual(vault.sealedPrefix);
    expect(begin(old.seal('p', 'x'))).not.toEqual(vault.sealedPrefix);
    expect(both.sealedPrefix).toEqual(vault.sealedPrefix);
  });
});

/** As the release before sealed: version, nonce, ciphertext, tag. */
function sealedByVersion1(root: Buffer, purpose: string, text: string): Buffer {
  const info = `countersign-vault/1\0seal\0${purpose}`;
  const key = Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), info, 32));
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
  cipher.setAAD(Buffer.from(`countersign-vault/1\0${purpose}`));
  const body = Buffer.concat([cipher.update(text), cipher.final()]);
  return Buffer.concat([Buffer.of(1), nonce, body, cipher.getAuthTag()]);
}

test('the same text never looks the same, and does not show', () => {
  const sealed = vault.seal('p', 'recognisable');
  expect(vault.seal('p', 'recognisable').equals(sealed)).toBe(false);
  expect(sealed.includes('recognisable')).toBe(false);
});

test('a data key opens what it sealed, and only the vault unwraps it', () => {
  const { key, wrapped } = vault.newDataKey('arguments');
  const sealed = sealWith(key, 'x');
  expect(openWith(vault.openDataKey('arguments', wrapped), sealed).toString()).toBe('x');
  expect(() => openWith(vault.newDataKey('arguments').key, sealed)).toThrow('The sealed record cannot be opened');
  expect(() => vault.openDataKey('other', wrapped)).toThrow(VaultError);
  expect(() => vault.open('arguments', wrapped)).toThrow(VaultError);
});

test('a keyed hash depends on the root key, the purpose and the data', () => {
  expect(vault.hmac('event', 'x')).toEqual(createVault(rootKey).hmac('event', Buffer.from('x')));
  expect(vault.hmac('event', 'x')).toHaveLength(32);
  const others = [vault.hmac('other', 'x'), vault.hmac('event', 'y'), createVault(randomBytes(32)).hmac('event', 'x')];
  for (const other of others) expect(other.equals(vault.hmac('event', 'x'))).toBe(false);
});

test('a root key of another length is refused', () => {
  expect(() => createVault(randomBytes(16))).toThrow('must have 32 bytes; this one has 16');
});

test('wiping the caller’s copy of the root key does not change the vault', () => {
  const mine = Uint8Array.from(rootKey);
  const own = createVault(mine);
  mine.fill(0);
  expect(own.open('p', vault.seal('p', 'x')).toString()).toBe('x');
});
