import { expect, test } from 'vitest';
import { authorizationDenialMeta } from '../../src/wire/authorization_denial_sep_2643.ts';

test('a denial that a person can lift', () => {
  expect(
    authorizationDenialMeta({
      remediation: 'available',
      contextId: 'stp_a',
      hints: [{ type: 'url', url: 'https://auth.example/s/stp_a' }],
    }),
  ).toEqual({
    'io.modelcontextprotocol/authorization': {
      reason: 'insufficient_authorization',
      remediation: 'available',
      authorizationContextId: 'stp_a',
      remediationHints: [{ type: 'url', url: 'https://auth.example/s/stp_a' }],
    },
  });
});

test.each(['unavailable', 'undisclosed'] as const)('a denial that is %s carries no hints', (remediation) => {
  expect(authorizationDenialMeta({ remediation, hints: [{ type: 'task' }] })).toEqual({
    'io.modelcontextprotocol/authorization': { reason: 'insufficient_authorization', remediation },
  });
});
