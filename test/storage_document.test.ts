import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createTestDatabase } from './support/database.ts';
import { readSources } from './support/source_files.ts';

const DOCUMENT = readFileSync('docs/storage.md', 'utf8');
/** The first cells of every table of the document. */
const NAMED = new Set(
  [...DOCUMENT.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap((row) =>
    [...row[1]!.matchAll(/`([^`]+)`/g)].map((name) => name[1]!),
  ),
);

test('every table of the schema is in docs/storage.md, and none that is gone', async () => {
  const database = await createTestDatabase();
  const { rows } = await sql<{
    name: string;
  }>`select tablename as name from pg_tables where schemaname = 'public'`.execute(database.db);
  await database.drop();
  const tables = rows.map((row) => row.name);
  expect(tables.length).toBeGreaterThan(20);
  expect(tables.filter((name) => !NAMED.has(name))).toEqual([]);
  const section = DOCUMENT.split('## PostgreSQL: the truth')[1]!.split('What the OAuth engine keeps')[0]!;
  const documented = [...section.matchAll(/^\| `(\w+)`/gm)].map((row) => row[1]!);
  expect(documented.filter((name) => !tables.includes(name))).toEqual([]);
});

test('every kind of artifact that the adapter treats in its own way is in it', () => {
  const adapter = readFileSync('src/provider/adapter.ts', 'utf8');
  const durable = /new Set\(\[([^\]]*)\]\)/.exec(adapter)![1]!;
  const kinds = [...durable.matchAll(/'(\w+)'/g)].map((kind) => kind[1]!);
  expect(kinds).toContain('RefreshToken');
  const lifetimes = readFileSync('src/provider/lifetimes.ts', 'utf8');
  const lived = [...lifetimes.matchAll(/^ {2}([A-Z]\w+):/gm)]
    .map((kind) => kind[1]!)
    .filter((kind) => kind !== 'IdToken');
  expect(lived).toContain('AuthorizationCode');
  expect([...kinds, ...lived].filter((kind) => !NAMED.has(kind))).toEqual([]);
});

test('every prefix of a key in the memory is in it', () => {
  const keys = new Set<string>();
  for (const { path, text } of readSources('src')) {
    if (!/^src\/(api|approvals|people|provider|tasks|agents)\//.test(path) || !/ephemeral/.test(text)) continue;
    for (const [, prefix] of text.matchAll(/`([a-z_-]+:)\$\{/g)) keys.add(prefix!);
  }
  expect(keys).toContain('dpop:');
  // Purposes, scopes and names of locks, which are no keys.
  const others = ['confirm:', 'decision:', 'interaction:', 'step_up:', 'step-up-quota:', 'task-start:'];
  expect([...keys].filter((key) => !NAMED.has(key) && !others.includes(key))).toEqual([]);
});
