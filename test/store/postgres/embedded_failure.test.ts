import { expect, test } from 'vitest';
import { explainFailure } from '../../../src/store/postgres/embedded/failure.ts';

test.each([
  ['FATAL:  could not write lock file "postmaster.pid": No space left on device', 'disk_full', /Free some space/],
  ['HINT:  Check free disk space.', 'disk_full', /Free some space/],
  ['FATAL:  database files are incompatible with server', 'start_failed', /release that wrote it/],
  ['postgres: error while loading shared libraries: libz.so.1', 'binaries_missing', /npm rebuild.*database\.url/],
  ["Error: EACCES: permission denied, mkdir '/data'", 'directory_unusable', /--data-dir/],
  ['FATAL:  something never seen', 'start_failed', /what PostgreSQL reported/],
] as const)('%s is explained', (output, code, next) => {
  const error = explainFailure('The database could not be started', `creating files ... ok\n${output}\n`);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(next);
  expect(error.message).toContain(output);
  expect(error.message).not.toContain('creating files');
});
