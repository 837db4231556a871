import { writeFile } from 'node:fs/promises';
import { measureClicks } from './bench/click.ts';
import { documentOf } from './bench/document.ts';
import { startLoadGenerator } from './bench/load.ts';
import { tableOf } from './bench/report.ts';
import { setStage } from './bench/stage.ts';
import { measureStarts } from './bench/start_up.ts';
import { compareTokenEndpoints } from './bench/token_endpoint.ts';
import { compareToolCalls } from './bench/tool_calls.ts';

const DOCUMENT = new URL('../docs/benchmarks.md', import.meta.url);
const say = (line: string) => process.stderr.write(`${line}\n`);

const closing: (() => Promise<unknown>)[] = [];
const closeAll = async () => {
  for (const close of closing.splice(0).reverse()) await close().catch((error: Error) => say(error.message));
};

try {
  const startedAt = performance.now();
  say('Starting and stopping the server …');
  const starts = await measureStarts();
  say('Setting the stage: server, guard, two gateways, bare servers …');
  const stage = await setStage(closing);
  const load = await startLoadGenerator();
  closing.push(() => load.stop());
  say('Token endpoint …');
  const tokens = await compareTokenEndpoints(load, stage);
  say('Tool calls …');
  const calls = await compareToolCalls(load, stage);
  say('Clicks …');
  const clicks = await measureClicks(stage);
  const table = tableOf({ tokens, calls, clicks, starts });
  process.stdout.write(`${table}\n`);
  await writeFile(DOCUMENT, documentOf(table, new Date()));
  say(`Took ${Math.round((performance.now() - startedAt) / 1000)} s; written to docs/benchmarks.md.`);
} finally {
  await closeAll();
}
process.exit(0);
