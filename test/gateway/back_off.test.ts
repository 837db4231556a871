import { expect, test } from 'vitest';
import { afterExit, NO_BACK_OFF } from '../../src/gateway/back_off.ts';

test('the first exit costs nothing, each further one twice the time, up to half a minute; a long life clears it', () => {
  const waits: number[] = [];
  let backOff = NO_BACK_OFF;
  for (let exit = 0; exit < 12; exit += 1) {
    backOff = afterExit(backOff, 100, 1_000);
    waits.push(backOff.notBeforeMs - 1_000);
  }
  expect(waits).toEqual([0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  expect(afterExit(backOff, 60_000, 1_000)).toEqual({ failures: 1, notBeforeMs: 1_000 });
});
