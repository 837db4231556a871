import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

// npm run torture -- <minutes> <seed>: the randomized run of the fault tests, for longer than CI has time for.

const MINUTES_DEFAULT = 30;
const MINUTES_MAX = 24 * 60;
const [minutes = String(MINUTES_DEFAULT), seed = String(randomInt(2 ** 31))] = process.argv.slice(2);

if (!(Number(minutes) > 0 && Number(minutes) <= MINUTES_MAX) || !/^\d{1,10}$/.test(seed)) {
  process.stderr.write(
    `Usage: npm run torture -- <minutes, at most ${MINUTES_MAX}> <seed, a whole number>\n` +
      `Without them it runs for ${MINUTES_DEFAULT} minutes with a seed of its own choice, which it prints.\n`,
  );
  process.exit(2);
}

process.stdout.write(`Torture for ${minutes} minutes. To run it again: npm run torture -- ${minutes} ${seed}\n`);
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
const result = spawnSync(process.execPath, [vitest, 'run', 'test/faults/torture.test.ts'], {
  stdio: 'inherit',
  env: { ...process.env, COUNTERSIGN_TORTURE_MINUTES: minutes, COUNTERSIGN_TORTURE_SEED: seed },
});
process.exit(result.status ?? 1);
