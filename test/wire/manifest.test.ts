import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { manifestDigest } from '../../src/wire/manifest.ts';

const tool = { name: 'write_file', description: 'Writes', inputSchema: { type: 'object' } };

test('the manifest digest is SHA-256 over label, zero byte and canonical JSON', () => {
  const text =
    '{"display_template":null,"tool":{"description":"Writes","inputSchema":{"type":"object"},"name":"write_file"}}';
  expect(manifestDigest(tool)).toBe(createHash('sha256').update(`countersign-manifest/1\0${text}`).digest('base64url'));
});

test.each([
  ['the description', { ...tool, description: 'Writes.' }],
  ['the schema', { ...tool, inputSchema: { type: 'object', properties: {} } }],
  ['annotations', { ...tool, annotations: { readOnlyHint: true } }],
  ['a member we do not know', { ...tool, 'x-new': 1 }],
])('a change of %s changes it', (_, changed) => expect(manifestDigest(changed)).not.toBe(manifestDigest(tool)));

test('a change of the display template changes it', () => {
  expect(manifestDigest(tool, 'Write {path}')).not.toBe(manifestDigest(tool));
  expect(manifestDigest(tool, 'Write {path}')).not.toBe(manifestDigest(tool, 'Write {content}'));
});

test('the order of members does not', () => {
  expect(manifestDigest({ inputSchema: { type: 'object' }, name: 'write_file', description: 'Writes' })).toBe(
    manifestDigest(tool),
  );
});
