import { expect, test } from 'vitest';
import { importCycles, reachesServer, upwardImports } from './support/layers.ts';
import { listFiles, parseSource, readSources } from './support/source_files.ts';

// The rules of the house that a machine can check.

const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;
const BANNED_NAMES = ['util', 'utils', 'helper', 'helpers', 'common', 'shared', 'misc', 'types'];
const SNAKE_CASE = /^[a-z0-9]+(_[a-z0-9]+)*$/;
const UNFINISHED = new RegExp(`\\b(${['TO', 'FIX'].map((start, index) => start + ['DO', 'ME'][index]).join('|')})\\b`);

const sources = readSources('src');
const tooling = readSources('test/support', 'scripts');
const tests = readSources('test');

test('there is something to check', () => {
  expect(sources.length).toBeGreaterThan(50);
  expect(sources.flatMap((file) => file.imports).length).toBeGreaterThan(100);
  expect(sources.flatMap((file) => file.functions).length).toBeGreaterThan(100);
  expect(tooling.length).toBeGreaterThan(5);
  expect(tests.length).toBeGreaterThan(10);
});

test('imports point down', () => {
  expect(upwardImports(sources)).toEqual([]);
});

test('the guard, the agent and the gateway never reach the server', () => {
  expect(reachesServer(sources)).toEqual([]);
});

test('there are no circles of imports', () => {
  expect(importCycles([...sources, ...tests])).toEqual([]);
});

test('every relative import names a file that exists', () => {
  const files = new Set(listFiles('src', 'test', 'scripts'));
  const missing = [...sources, ...tests].flatMap(({ path, imports }) =>
    imports
      .filter((target) => /^(src|test|scripts)\//.test(target) && !files.has(target))
      .map((to) => `${path}: ${to}`),
  );
  expect(missing).toEqual([]);
});

test(`no file is longer than ${FILE_LINES_MAX} lines`, () => {
  const long = [...sources, ...tooling].filter((file) => file.lineCount > FILE_LINES_MAX);
  expect(long.map((file) => `${file.path}: ${file.lineCount}`)).toEqual([]);
});

test(`no function is longer than ${FUNCTION_LINES_MAX} lines`, () => {
  const long = [...sources, ...tooling].flatMap((file) =>
    file.functions
      .filter(({ lineCount }) => lineCount > FUNCTION_LINES_MAX)
      .map(({ firstLine, lineCount }) => `${file.path}:${firstLine}: ${lineCount}`),
  );
  expect(long).toEqual([]);
});

test('names are snake_case and say what is inside', () => {
  const wrong = listFiles('src', 'test', 'scripts').filter((path) =>
    path.split('/').some((part) => {
      const name = part.replace(/(\.(test|bench|d))?\.[a-z0-9]+$/, '');
      return (!SNAKE_CASE.test(name) && part !== 'README.md') || BANNED_NAMES.includes(name);
    }),
  );
  expect(wrong).toEqual([]);
});

test('nothing is left for later in a comment', () => {
  const wrong = [...sources, ...tooling, ...tests].filter((file) => UNFINISHED.test(file.text));
  expect(wrong.map((file) => file.path)).toEqual([]);
});

// The checks above pass on an empty graph too, so each is shown a broken one.

test('the checks see an upward import, a channel beside a channel, a way to the server and a circle', () => {
  const upward = [{ path: 'src/store/a.ts', imports: ['src/tasks/b.ts'] }];
  expect(upwardImports(upward)).toEqual(['src/store/a.ts imports src/tasks/b.ts: store may not import tasks']);
  expect(upwardImports([{ path: 'src/kernel/a.ts', imports: ['src/wire/b.ts'] }])).toHaveLength(1);
  expect(upwardImports([{ path: 'src/provider/a.ts', imports: ['src/policy/b.ts'] }])).toHaveLength(1);
  expect(upwardImports([{ path: 'src/extra/a.ts', imports: [] }])).toEqual([
    'src/extra/a.ts is in no layer of the design',
  ]);
  expect(upwardImports([{ path: 'src/tasks/a.ts', imports: ['src/approvals/b.ts', 'src/kernel/c.ts'] }])).toEqual([]);

  const channel = (target: string) => upwardImports([{ path: 'src/approvals/channels/slack/a.ts', imports: [target] }]);
  expect(channel('src/approvals/channels/email/a.ts')).toHaveLength(1);
  expect(channel('src/store/a.ts')).toHaveLength(1);
  expect(channel('src/approvals/channel.ts')).toEqual([]);

  const roundabout = [
    { path: 'src/gateway/a.ts', imports: ['src/policy/b.ts'] },
    { path: 'src/policy/b.ts', imports: ['src/store/c.ts'] },
  ];
  expect(reachesServer(roundabout)).toEqual(['src/gateway/a.ts reaches src/store/c.ts']);

  const circle = [
    { path: 'src/model/a.ts', imports: ['src/model/b.ts'] },
    { path: 'src/model/b.ts', imports: ['src/model/a.ts'] },
  ];
  expect(importCycles(circle)).toEqual(['src/model/a.ts -> src/model/b.ts -> src/model/a.ts']);
});

test('the parser sees every kind of import and the length of a function', () => {
  const text = [
    "import a from './a.ts';",
    "import type { B } from '../kernel/b.ts';",
    "export { c } from './c.ts';",
    "export * from './d.ts';",
    "const e = await import('./e.ts');",
    "import 'koa';",
    'class F {',
    '  method() {',
    '    return [a, e];',
    '  }',
    '}',
  ].join('\n');
  const file = parseSource('src/model/x.ts', text);
  const names = ['src/model/a.ts', 'src/kernel/b.ts', 'src/model/c.ts', 'src/model/d.ts', 'src/model/e.ts'];
  expect(file.imports).toEqual(names);
  expect(file.packages).toEqual(['koa']);
  expect(file.functions).toEqual([{ firstLine: 8, lineCount: 3 }]);
});
