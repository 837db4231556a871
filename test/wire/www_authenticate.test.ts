import { expect, test } from 'vitest';
import { wwwAuthenticate } from '../../src/wire/www_authenticate.ts';

test('a scheme alone', () => expect(wwwAuthenticate({ scheme: 'Bearer' })).toBe('Bearer'));

test('a scope challenge', () => {
  expect(
    wwwAuthenticate({
      scope: 'mcp step_up:stp_a',
      error: 'insufficient_scope',
      scheme: 'Bearer',
      resource_metadata: 'https://a.example/.well-known/oauth-protected-resource/mcp',
    }),
  ).toBe(
    'Bearer error="insufficient_scope", scope="mcp step_up:stp_a", ' +
      'resource_metadata="https://a.example/.well-known/oauth-protected-resource/mcp"',
  );
});

test('a DPoP challenge', () => {
  expect(wwwAuthenticate({ scheme: 'DPoP', error: 'invalid_dpop_proof', algs: 'ES256 EdDSA', max_age: 0 })).toBe(
    'DPoP error="invalid_dpop_proof", algs="ES256 EdDSA", max_age="0"',
  );
});

test('quotes and backslashes are escaped (RFC 9110 §5.6.4)', () => {
  expect(wwwAuthenticate({ scheme: 'Bearer', realm: 'a"b\\c' })).toBe('Bearer realm="a\\"b\\\\c"');
});

test('a description is made fit for RFC 6750 and cannot end its header', () => {
  expect(wwwAuthenticate({ scheme: 'Bearer', error_description: 'the "tool" é\r\nSet-Cookie: a\\b' })).toBe(
    `Bearer error_description="the 'tool'  Set-Cookie: a/b"`,
  );
});

test.each(['a\r\nb', 'a\tb', 'é', '\u007f'])('another value with %j is a bug', (scope) => {
  expect(() => wwwAuthenticate({ scheme: 'Bearer', scope })).toThrow(
    'The scope of a challenge must be printable ASCII',
  );
});
