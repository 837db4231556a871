import { expect, test } from 'vitest';
import {
  protectedResourceMetadata,
  protectedResourceMetadataPath,
  protectedResourceMetadataPaths,
  protectedResourceMetadataUrl,
} from '../../src/wire/protected_resource_rfc9728.ts';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';

test.each([
  ['https://a.example', `https://a.example${WELL_KNOWN}`, [WELL_KNOWN]],
  ['https://a.example/', `https://a.example${WELL_KNOWN}`, [WELL_KNOWN]],
  ['https://a.example:8443/mcp', `https://a.example:8443${WELL_KNOWN}/mcp`, [`${WELL_KNOWN}/mcp`, WELL_KNOWN]],
  ['https://a.example/t/1/mcp/', `https://a.example${WELL_KNOWN}/t/1/mcp/`, [`${WELL_KNOWN}/t/1/mcp/`, WELL_KNOWN]],
  ['https://a.example/mcp?t=1', `https://a.example${WELL_KNOWN}/mcp?t=1`, [`${WELL_KNOWN}/mcp`, WELL_KNOWN]],
  ['http://127.0.0.1:3000/mcp', `http://127.0.0.1:3000${WELL_KNOWN}/mcp`, [`${WELL_KNOWN}/mcp`, WELL_KNOWN]],
])('the metadata of %s', (resource, url, paths) => {
  expect(protectedResourceMetadataUrl(resource)).toBe(url);
  expect(new URL(resource).origin + protectedResourceMetadataPath(resource)).toBe(url);
  expect(protectedResourceMetadataPaths(resource)).toEqual(paths);
});

test.each(['', 'mcp', 'urn:x', 'https://a.example/#', 'https://a.example/mcp#x'])('%j is no resource', (resource) => {
  expect(() => protectedResourceMetadataUrl(resource)).toThrow('no resource identifier');
});

test('the smallest document names resource and issuer as they are', () => {
  expect(protectedResourceMetadata({ resource: 'https://a.example/mcp', issuer: 'https://auth.example' })).toEqual({
    resource: 'https://a.example/mcp',
    authorization_servers: ['https://auth.example'],
    bearer_methods_supported: ['header'],
  });
});

test('the whole document', () => {
  expect(
    protectedResourceMetadata({
      resource: 'https://a.example/mcp',
      issuer: 'https://auth.example',
      resourceName: 'Files',
      scopesSupported: ['mcp'],
      dpopSigningAlgorithms: ['ES256'],
      isDpopRequired: false,
      documentation: 'https://a.example/docs',
      jwksUri: 'https://a.example/jwks',
      txnChallengeJwksUri: 'https://a.example/jwks',
      registrationNonce: 'n',
    }),
  ).toEqual({
    resource: 'https://a.example/mcp',
    authorization_servers: ['https://auth.example'],
    bearer_methods_supported: ['header'],
    scopes_supported: ['mcp'],
    resource_name: 'Files',
    resource_documentation: 'https://a.example/docs',
    jwks_uri: 'https://a.example/jwks',
    dpop_signing_alg_values_supported: ['ES256'],
    dpop_bound_access_tokens_required: false,
    txn_challenge_jwks_uri: 'https://a.example/jwks',
    txn_challenge_signing_alg_values_supported: ['ES256'],
    countersign_registration: 'n',
  });
});
