import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { documentOf } from './bench/document.ts';
import { IS_QUICK } from './bench/limits.ts';
import { SECTION_NAMES, type SectionName } from './bench/section_names.ts';
import { measureSections } from './bench/sections.ts';

// npm run bench -- [--quick] [sections]: see SECTION_NAMES. Only a whole run at full length is written down.

const DOCUMENT = new URL('../docs/benchmarks.md', import.meta.url);
const say = (line: string) => process.stderr.write(`${line}\n`);

const { positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean' } } });
const unknown = positionals.filter((name) => !SECTION_NAMES.includes(name as SectionName));
if (unknown.length > 0) {
  say(`There is no section ${unknown.join(', ')}. There are: ${SECTION_NAMES.join(', ')}.`);
  process.exit(2);
}
const names = positionals.length === 0 ? SECTION_NAMES : SECTION_NAMES.filter((name) => positionals.includes(name));
const isWhole = names.length === SECTION_NAMES.length && !IS_QUICK;

const startedAt = performance.now();
const { tables, hasFailed } = await measureSections(names, say);
const took = `Took ${Math.round((performance.now() - startedAt) / 1000)} s`;
for (const table of tables.values()) process.stdout.write(`${table}\n\n`);
if (isWhole && !hasFailed) await writeFile(DOCUMENT, documentOf(tables, new Date()));
say(isWhole && !hasFailed ? `${took}; written to docs/benchmarks.md.` : `${took}; docs/benchmarks.md stays as it is.`);
process.exit(hasFailed ? 1 : 0);
