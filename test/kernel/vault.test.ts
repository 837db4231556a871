import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
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
  sealed[0] = 2;
  expect(() => vault.open('p', sealed)).toThrow('format version 2; this release reads version 1');
});

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
