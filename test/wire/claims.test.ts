import { expect, test } from 'vitest';
import { type Actor, actors, parseAccessTokenClaims } from '../../src/wire/claims.ts';

const claims = {
  iss: 'https://auth.example',
  sub: 'prs_a',
  aud: 'https://files.example/mcp',
  client_id: 'https://client.example/metadata.json',
  exp: 1_800_000_300,
  iat: 1_800_000_000,
  jti: 'j',
  scope: 'mcp',
  task: { id: 'tsk_a', root: 'tsk_a' },
};

function chain(length: number): Actor {
  let act: Actor = { sub: 'agt_0' };
  for (let level = 1; level < length; level += 1) act = { sub: `agt_${level}`, act };
  return act;
}

test('a token with everything passes unchanged', () => {
  const whole = {
    ...claims,
    act: { sub: 'agt_b', client_id: 'c', act: { sub: 'agt_a' } },
    authorization_details: [],
    cnf: { jkt: 'k'.repeat(43) },
    auth_time: 1_799_999_000,
    acr: 'urn:countersign:passkey',
    amr: ['hwk', 'user'],
    txn: 'txn_a',
  };
  expect(parseAccessTokenClaims(whole)).toEqual({ ok: true, value: whole });
});

test('a token without scope has an empty one; claims we do not know are left out', () => {
  const { scope: _, ...rest } = claims;
  expect(parseAccessTokenClaims({ ...rest, email: 'a@example.com' })).toEqual({
    ok: true,
    value: { ...claims, scope: '' },
  });
});

test.each([
  ['two audiences', { aud: ['https://files.example/mcp', 'https://other.example'] }, 'aud'],
  ['one audience in an array', { aud: ['https://files.example/mcp'] }, 'aud'],
  ['no task', { task: undefined }, 'task'],
  ['a task without root', { task: { id: 'tsk_a' } }, 'task'],
  ['no subject', { sub: '' }, 'sub'],
  ['an expiry that is text', { exp: '1800000300' }, 'exp'],
  ['a key that is no thumbprint', { cnf: { jkt: 'x' } }, 'cnf'],
  ['a binding to something else', { cnf: { 'x5t#S256': 'x' } }, 'cnf'],
  ['an unknown authorization detail', { authorization_details: [{ type: 'x' }] }, 'authorization_details'],
  ['an actor without subject', { act: { act: { sub: 'a' } } }, 'act'],
  ['too long a chain', { act: chain(9) }, 'act'],
])('%s is refused by name', (_, change, name) => {
  expect(parseAccessTokenClaims({ ...claims, ...change })).toMatchObject({
    ok: false,
    refusal: { code: 'token_invalid', message: `The access token has unusable claims: ${name}.` },
  });
});

test('no payload at all is refused', () => {
  for (const payload of [null, 'x', [], undefined]) expect(parseAccessTokenClaims(payload).ok).toBe(false);
});

test('the chain of actors starts with who acts now', () => {
  expect(actors({ sub: 'b', act: { sub: 'a' } }).map(({ sub }) => sub)).toEqual(['b', 'a']);
  expect(actors(undefined)).toEqual([]);
  expect(parseAccessTokenClaims({ ...claims, act: chain(8) }).ok).toBe(true);
});
