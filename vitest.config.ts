import { defineConfig } from 'vitest/config';

// Two workers: the suite runs real PostgreSQL, Redis and a browser beside itself.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global_setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    allowOnly: false,
    passWithNoTests: false,
  },
});
