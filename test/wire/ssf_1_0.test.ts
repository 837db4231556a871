import { expect, test } from 'vitest';
import { createStreamSchema, transmitterMetadata, transmitterMetadataPath } from '../../src/wire/ssf_1_0.ts';

test('the metadata of an issuer with a path is found with the path behind the well-known part (SSF 1.0 §7.2)', () => {
  expect(transmitterMetadataPath('https://approve.example')).toBe('/.well-known/ssf-configuration');
  expect(transmitterMetadataPath('https://approve.example/a/b')).toBe('/.well-known/ssf-configuration/a/b');
  const metadata = transmitterMetadata('https://approve.example/a');
  expect(metadata.configuration_endpoint).toBe('https://approve.example/a/api/v1/signals/streams');
});

test('members that we do not know are ignored, and a header that would end its line is not', () => {
  const delivery = { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://r.example/' };
  const parse = (more: object) => createStreamSchema.safeParse({ delivery: { ...delivery, ...more }, more: 1 }).success;
  expect(parse({ authorization_header: 'Bearer abc', unknown: true })).toBe(true);
  expect(parse({ authorization_header: 'Bearer abc\r\nHost: x' })).toBe(false);
  expect(parse({ method: 'urn:x' })).toBe(false);
});
