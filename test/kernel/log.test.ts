import { describe, expect, test } from 'vitest';
import { createLogger } from '../../src/kernel/log.ts';

function logged(fields: object, message = 'm', level: 'debug' | 'info' | 'warn' | 'error' = 'info'): string {
  const lines: string[] = [];
  createLogger({ level: 'info', name: 'test', destination: { write: (line: string) => lines.push(line) } })[level](
    fields,
    message,
  );
  expect(lines.length).toBeLessThan(2);
  return lines[0] ?? '';
}

const SECRET = 'x9Qk2mZt7Lw4Vb1Nc8Rd5Fg3Hj6Ks0PaYuIoEqWeRtY';

describe('secrets by the name of their field, wherever it is', () => {
  test.each([
    'authorization',
    'Authorization',
    'proxy-authorization',
    'cookie',
    'set-cookie',
    'access_token',
    'accessToken',
    'refresh_token',
    'id_token',
    'subject_token',
    'code',
    'code_verifier',
    'client_assertion',
    'token',
    'secret',
    'client_secret',
    'password',
    'link',
    'set_up_link',
    'setUpLink',
    'dpop',
    'DPoP',
  ])('%s', (name) => {
    const value = 'some Value-1';
    expect(logged({ [name]: value })).not.toContain(value);
    expect(logged({ request: { headers: [{ deep: { [name]: value } }] } })).not.toContain(value);
    expect(logged({ [name]: [value, { value }] })).not.toContain(value);
    expect(logged({ map: new Map([[name, value]]) })).not.toContain(value);
    expect(logged({ error: new Error('e', { cause: { [name]: value } }) })).not.toContain(value);
  });
});

describe('secrets by their looks, in any field and in the message', () => {
  test.each([
    `Authorization: Bearer ${SECRET}`,
    `got dpop ${SECRET}`,
    `eyJhbGciOiJFUzI1NiJ9.${SECRET}.${SECRET}`,
    `https://auth.example/callback?code=${SECRET}&iss=1`,
    `/callback?x=1&state=${SECRET}`,
    `grant_type=authorization_code&refresh_token=${SECRET}`,
    `https://auth.example/set-up/${SECRET}`,
    `https://auth.example/invite#${SECRET}`,
    `postgres://user:${SECRET}@db/x`,
    `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----`,
  ])('%s', (text) => {
    for (const line of [
      logged({ field: text }),
      logged({ field: [{ text }] }),
      logged({}, text),
      logged({ error: new Error(text) }),
      logged(new Error(text)),
      logged({ url: new URL(`https://h/?u=${encodeURIComponent(SECRET)}`) }),
    ]) {
      expect(line).not.toContain(SECRET);
    }
  });
});

test('what is no secret stays: digests, ids, error codes, counts, addresses', () => {
  const fields = {
    action_digest: SECRET,
    step_up: 'stp_abcdefghijklmnopqrstuvwxyz',
    code: 'json_invalid',
    nested: [{ code: 'ECONNREFUSED' }, { code: '23505' }, { code: -32042 }],
    token: true,
    tokens: 3,
    token_endpoint: 'https://auth.example/token',
    purpose_code: 'invoices-2026',
    url: 'https://files.example/mcp?page=2',
  };
  expect(JSON.parse(logged(fields))).toMatchObject(fields);
});

test('an error keeps type, message, code, stack and cause, and nothing a driver hung onto it', () => {
  const error = Object.assign(new TypeError('no', { cause: new Error('because') }), {
    code: '23505',
    detail: 'Key (email)=(a@example.com) exists',
    parameters: ['private'],
  });
  const line = logged({ error });
  expect(JSON.parse(line).error).toMatchObject({
    type: 'TypeError',
    message: 'no',
    code: '23505',
    stack: expect.stringContaining('log.test.ts'),
    cause: { type: 'Error', message: 'because' },
  });
  expect(line).not.toMatch(/a@example|private/);
});

test('a line is one JSON object with level, time, name and message', () => {
  expect(JSON.parse(logged({ a: 1n, at: new Date(0), bytes: Buffer.from('abc') }, 'two\nlines', 'warn'))).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    name: 'test',
    msg: 'two\nlines',
    a: '1',
    at: '1970-01-01T00:00:00.000Z',
    bytes: '[3 bytes]',
  });
});

test('a field cannot pass for what the logger writes', () => {
  const line = logged({ level: 'error', name: 'other', msg: 'forged', time: 'never' });
  expect(line.match(/"level":/g)).toHaveLength(1);
  expect(JSON.parse(line)).toMatchObject({ level: 'info', name: 'test', msg: 'm', field_level: 'error' });
});

test('lines below the level are not written', () => expect(logged({}, 'm', 'debug')).toBe(''));

test('cycles, depth, width and hostile getters neither hang nor throw', () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = [cycle, cycle];
  const wide = Array.from({ length: 200 }, () => new Array(1_000).fill('x'));
  const hostile = {
    get a(): never {
      throw new Error('no');
    },
  };
  for (const fields of [{ cycle }, { wide }, hostile, { text: 'y'.repeat(1_000_000) }]) {
    expect(logged(fields).length).toBeLessThan(50_000);
  }
});
