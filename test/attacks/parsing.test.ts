import { describe, expect, test } from 'vitest';
import { createLogger } from '../../src/kernel/log.ts';
import { parseStrictJson } from '../../src/kernel/strict_json.ts';
import { REFUSALS } from '../../src/wire/refusals.ts';
import { acceptsTxnChallenge } from '../../src/wire/txn_challenge_rosomakho_00.ts';
import { undeclaredArguments } from '../../src/wire/undeclared_arguments.ts';

const REFUSAL_MS_MAX = 50;
const ROUNDS = 5;
/** Processor time is counted in ticks on many kernels: less than one reads as none. */
const PROCESSOR_TICK_MS = 4;

/** Processor time of this thread, the best of some rounds: what else the machine does meanwhile must not count. */
function bestMilliseconds(run: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.threadCpuUsage();
    run();
    const { user, system } = process.threadCpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

function expectQuickRefusal(text: string): void {
  expect(bestMilliseconds(() => parseStrictJson(text))).toBeLessThan(REFUSAL_MS_MAX);
  const result = parseStrictJson(text);
  expect(result.ok).toBe(false);
  if (result.ok) return;
  expect([400, 413]).toContain(REFUSALS[result.refusal.code].status);
  expect(result.refusal.message.length).toBeLessThan(500);
}

const many = 200_000;

describe('T61 hostile JSON is refused with 400 or 413 in less than 50 ms', () => {
  test.each([
    ['arrays 10,000 deep', '['.repeat(10_000) + ']'.repeat(10_000)],
    ['objects 10,000 deep', '{"a":'.repeat(10_000) + '1'.padEnd(10_001, '}')],
    ['arrays 500,000 deep and never closed', '['.repeat(500_000)],
    ['__proto__', '{"__proto__":{"isAdmin":true}}'],
    ['__proto__ behind escapes', '{"a":[{"\\u005f\\u005fproto\\u005f\\u005f":{}}]}'],
    ['a string that never ends', `"${'a'.repeat(many)}`],
    ['a string of escapes that never ends', `"${'\\\\'.repeat(many)}`],
    ['a lone surrogate behind many pairs', `"${'\\ud83d\\ude00'.repeat(50_000)}\\ud83d"`],
    ['digits without end', `${'1'.repeat(many)}x`],
    ['zeros without end', `1.${'0'.repeat(many)}1`],
    ['a vast exponent', `1e${'9'.repeat(many)}`],
    ['a vast negative exponent', `1e-${'9'.repeat(many)}`],
    ['signs without end', '-'.repeat(many)],
    ['blanks without end', ' '.repeat(many)],
    ['one name twice, far apart', `{"a":1,${Array.from({ length: 20_000 }, (_, at) => `"b${at}":0`).join(',')},"a":2}`],
    ['a long name twice', `{"${'n'.repeat(many)}":1,"${'n'.repeat(many)}":2}`],
    ['100,001 values', `[${'1,'.repeat(100_000)}1]`],
    ['5 MB', `"${'a'.repeat(5_000_000)}"`],
  ])('%s', (_, text) => expectQuickRefusal(text));

  test('__proto__ changed no prototype', () => {
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });
});

describe('T61 the time to read grows with the input, not with its square', () => {
  test.each<[string, (size: number) => string]>([
    ['names', (size) => `{${Array.from({ length: size }, (_, index) => `"name${index}":0`).join(',')}}`],
    ['numeric names', (size) => `{${Array.from({ length: size }, (_, index) => `"${index * 65_536}":0`).join(',')}}`],
    ['zeros', (size) => `[0.1${'0'.repeat(size * 10)}]`],
    ['escapes', (size) => `["${'\\n'.repeat(size * 5)}"]`],
    ['siblings', (size) => `[${new Array(size).fill('{}').join(',')}]`],
  ])('%s', (_, make) => {
    const [small, large] = [make(5_000), make(40_000)];
    expect(parseStrictJson(large).ok).toBe(true);
    const once = Math.max(
      bestMilliseconds(() => parseStrictJson(small)),
      PROCESSOR_TICK_MS,
    );
    // Eight times the input; sixty-four times the time would be its square.
    expect(bestMilliseconds(() => parseStrictJson(large))).toBeLessThan(24 * once + 10);
  });
});

describe('T61 patterns do not backtrack without end', () => {
  test('in the header of the transaction challenge', () => {
    expect(bestMilliseconds(() => acceptsTxnChallenge(`${' '.repeat(many)}?1${' '.repeat(many)},`))).toBeLessThan(
      REFUSAL_MS_MAX,
    );
  });

  test.each([
    ['eyJ', 'eyJ'.repeat(many)],
    ['Bearer', `Bearer ${' '.repeat(many)}`],
    ['://', '://'.repeat(many)],
    ['tokentoken', 'token'.repeat(many)],
    ['-----BEGIN', '-----BEGIN '.repeat(many)],
    ['/a', `/${'a'.repeat(many)}!`],
  ])('in the redaction of logs: %s', (_, text) => {
    const log = createLogger({ level: 'info', name: 'test', destination: { write: () => {} } });
    expect(bestMilliseconds(() => log.info({ text }, text))).toBeLessThan(REFUSAL_MS_MAX);
  });

  test('in schemas that refer to themselves through many branches', () => {
    const branches = Array.from({ length: 200 }, () => ({ $ref: '#' }));
    const schema = { anyOf: branches, oneOf: branches, properties: { a: { $ref: '#' } } };
    let args: Record<string, never> | object = {};
    for (let level = 0; level < 60; level += 1) args = { a: args };
    expect(bestMilliseconds(() => undeclaredArguments(schema, args as Record<string, never>))).toBeLessThan(
      REFUSAL_MS_MAX,
    );
  });
});
