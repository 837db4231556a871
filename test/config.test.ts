import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { type Config, configKeys, parseConfig, rulesOf } from '../src/config.ts';
import { DEFAULT_RULES } from '../src/model/rules.ts';

const FILE = join(import.meta.dirname, '..', 'config', 'countersign.yaml');
const documented = readFileSync(FILE, 'utf8');
const MINIMAL = 'issuer: https://approve.example\n';

/** What one entry of a list holds. */
const IN_LISTS = /^(clients|purpose_codes|sign_in\.providers|federation\.\w+|signals\.transmitters)\./;

function accepted(input: Parameters<typeof parseConfig>[0]): Config {
  const parsed = parseConfig(input);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusal));
  return parsed.value;
}

function problems(input: Parameters<typeof parseConfig>[0]): string[] {
  const parsed = parseConfig(input);
  return parsed.ok ? [] : parsed.refusal.map(({ place, message }) => `${place}: ${message}`);
}

describe('config/countersign.yaml', () => {
  test('is accepted as it is, and every value in it is the default', () => {
    const issuer = 'http://localhost:9400';
    expect(accepted({ text: documented })).toEqual(accepted({ text: `issuer: ${issuer}\n` }));
  });

  test('names every key there is, and none beside them', () => {
    const written = parseDocument(documented).toJS() as Record<string, unknown>;
    const inLists = configKeys().filter((key) => IN_LISTS.test(key));
    const expected = configKeys().filter((key) => !inLists.includes(key));
    expect(keysOf(written).sort()).toEqual(expected.sort());
    // What a list holds is shown in a comment.
    for (const key of inLists) expect(documented).toMatch(new RegExp(`^ *# +(- )?${key.split('.').at(-1)}: `, 'm'));
  });

  test('explains every key in a comment above it', () => {
    const lines = documented.split('\n');
    const unexplained = lines.filter((line, index) => {
      const isKey = /^\s*[a-z_]+:/.test(line);
      const opensLevel = /^[a-z_]+:$/.test(line);
      const before = lines[index - 1]?.trim() ?? '';
      return isKey && !opensLevel && !before.startsWith('#') && !isExplainedWith(lines, index);
    });
    expect(unexplained).toEqual([]);
  });
});

/** Two keys may share the comment above the first: "how many a minute, and how many open". */
function isExplainedWith(lines: readonly string[], index: number): boolean {
  return /^\s+[a-z_]+:/.test(lines[index - 1] ?? '') && (lines[index - 2]?.trim().startsWith('#') ?? false);
}

function keysOf(value: Record<string, unknown>, prefix = ''): string[] {
  return Object.entries(value).flatMap(([key, inner]) => [
    `${prefix}${key}`,
    ...(typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? keysOf(inner as Record<string, unknown>, `${prefix}${key}.`)
      : []),
  ]);
}

describe('the environment and the command line', () => {
  test('override the file, the command line both', () => {
    const text = `${MINIMAL}listen: { port: 1, host: 0.0.0.0 }\n`;
    const environment = { COUNTERSIGN_LISTEN__PORT: '2', COUNTERSIGN_MODE: 'single_operator', PATH: '/bin' };
    expect(accepted({ text, environment })).toMatchObject({
      mode: 'single_operator',
      listen: { port: 2, host: '0.0.0.0' },
    });
    expect(accepted({ text, environment, overrides: { 'listen.port': 3, mode: undefined } })).toMatchObject({
      mode: 'single_operator',
      listen: { port: 3 },
    });
  });

  test.each([
    ['COUNTERSIGN_TRUSTED_PROXIES', '[10.0.0.1, 10.0.0.2]', { trusted_proxies: ['10.0.0.1', '10.0.0.2'] }],
    ['COUNTERSIGN_ROOT_KEY_FILE', '/run/secrets/root', { root_key_file: '/run/secrets/root' }],
    ['COUNTERSIGN_DYNAMIC_REGISTRATION', 'true', { dynamic_registration: true }],
    ['COUNTERSIGN_TASKS__SECONDS_MAX', '7200', { tasks: { seconds_max: 7200, seconds_default: 3600 } }],
  ])('%s=%s is read as in the file', (name, value, expected) => {
    expect(accepted({ text: MINIMAL, environment: { [name]: value } })).toMatchObject(expected);
  });

  test('every key has a variable', () => {
    for (const key of configKeys().filter((key) => !IN_LISTS.test(key))) {
      const name = `COUNTERSIGN_${key.toUpperCase().replaceAll('.', '__')}`;
      const found = problems({ text: MINIMAL, environment: { [name]: '~' } });
      expect(found.filter((problem) => problem.includes('There is no key'))).toEqual([]);
    }
  });

  test('an unknown variable of ours is refused with the nearest key; those read elsewhere are left alone', () => {
    const [problem, ...more] = problems({ text: MINIMAL, environment: { COUNTERSIGN_LISTEN__PROT: '1' } });
    expect(problem).toBe('COUNTERSIGN_LISTEN__PROT: There is no key "listen.prot". The nearest is "listen.port".');
    expect(more).toEqual([]);
    const environment = { COUNTERSIGN_ROOT_KEY: 'secret', COUNTERSIGN_CONFIG: 'file.yaml' };
    expect(problems({ text: MINIMAL, environment })).toEqual([]);
  });
});

describe('what is refused', () => {
  test.each([
    ['an unknown key', 'isuer: x\n', 'isuer: There is no key "isuer". The nearest is "issuer".'],
    ['one inside another', 'step_ups: { dwell: 1 }\n', 'The nearest is "step_ups'],
    ['one in a list', 'clients: [{ client_id: a, client_name: A, redirect_uri: x }]\n', 'clients.0.redirect_uri'],
    ['a key written twice', 'mode: standard\nmode: standard\n', 'Map keys must be unique'],
    ['no mapping', '- issuer\n', 'It must be a mapping of keys to values.'],
    ['a port out of range', 'listen: { port: 70000 }\n', 'listen.port: '],
    ['text where a number belongs', 'session_seconds: long\n', 'session_seconds: '],
    ['a life no token may have', 'access_token_seconds: 301\n', 'access_token_seconds: '],
    ['an unknown mode', 'mode: relaxed\n', 'mode: '],
    ['a host without a port', 'fetch_allowed_hosts: [localhost]\n', 'write it as host:port'],
    ['a default above the maximum', 'tasks: { seconds_default: 100, seconds_max: 50 }\n', 'tasks.seconds_default: '],
  ])('%s', (_, text, expected) => {
    const found = problems({ text: /^- /.test(text) ? text : `${MINIMAL}${text}` });
    expect(found.join('\n')).toContain(expected);
  });

  test('all problems are told at once', () => {
    expect(problems({ text: 'isuer: x\nmode: relaxed\nlisten: { port: -1 }\n' }).length).toBe(4);
  });
});

describe('T3: the issuer', () => {
  test.each([
    'https://approve.example',
    'https://approve.example/countersign',
    'http://localhost:9400',
    'http://127.0.0.1:1',
    'http://[::1]:1',
  ])('%s is accepted', (issuer) => {
    expect(accepted({ overrides: { issuer } }).issuer).toBe(issuer);
  });

  test.each([
    'http://approve.example',
    'http://10.0.0.1:9400',
    'http://localhost.example',
    'http://127.0.0.1.example',
    'https://approve.example/',
    'https://approve.example?x=1',
    'https://approve.example#x',
    'https://user:password@approve.example',
    'HTTPS://approve.example',
    'https://Approve.example',
    'https://approve.example:443',
    'ftp://localhost',
    'localhost:9400',
    '',
  ])('%s is refused', (issuer) => {
    expect(problems({ overrides: { issuer } }).join()).toMatch(/^issuer: /);
  });

  test('there is none by default', () => {
    expect(problems({ text: '' })).toEqual([expect.stringMatching(/^issuer: /)]);
  });
});

test('the defaults of the rules are those of the configuration', () => {
  expect(rulesOf(accepted({ text: MINIMAL }))).toEqual(DEFAULT_RULES);
});
