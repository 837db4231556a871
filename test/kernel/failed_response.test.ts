import { expect, test } from 'vitest';
import { logFailedResponse } from '../../src/kernel/failed_response.ts';
import { silentLogger } from '../../src/kernel/logger.ts';

function levelsOf(error: Error): string[] {
  const levels: string[] = [];
  const note = (level: string) => () => levels.push(level);
  logFailedResponse({ ...silentLogger, debug: note('debug'), warn: note('warn'), error: note('error') }, error);
  return levels;
}

test.each(['EPIPE', 'ECONNRESET'])('a client that went away (%s) alarms nobody', (code) => {
  expect(levelsOf(Object.assign(new Error('write failed'), { code }))).toEqual(['debug']);
});

test('anything else does', () => {
  expect(levelsOf(new TypeError('no such thing'))).toEqual(['error']);
});
