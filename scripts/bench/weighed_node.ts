import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadConfig } from '../../src/cli/load_config.ts';
import { setUpLink } from '../../src/cli/set_up_link.ts';
import { createLogger } from '../../src/kernel/log.ts';
import { startServer } from '../../src/server/start.ts';

/** A node as `countersign serve` starts it, in a process that can also say what it weighs. */
export interface WeighedReady {
  readonly issuer: string;
  readonly set_up_link: string | null;
}

export interface Weight {
  /** After garbage collection. */
  readonly heapBytes: number;
  readonly residentBytes: number;
}

const COLLECTIONS = 3;
const COLLECTION_PAUSE_MS = 100;

const { values } = parseArgs({ options: { config: { type: 'string' }, port: { type: 'string' } } });
const config = loadConfig({ file: values.config, overrides: { 'listen.port': Number(values.port) } });
const server = await startServer({ config, log: createLogger({ level: 'error', name: 'weighed' }) });
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** More than once: what a first collection frees may hold what the next one frees. */
async function weigh(): Promise<Weight> {
  for (let count = 0; count < COLLECTIONS; count += 1) {
    collect();
    await sleep(COLLECTION_PAUSE_MS);
  }
  const { heapUsed, rss } = process.memoryUsage();
  return { heapBytes: heapUsed, residentBytes: rss };
}

process.on('message', (order: 'weigh' | { readonly snapshot: string }) => {
  if (order === 'weigh') void weigh().then((weight) => process.send?.(weight));
  else process.send?.({ file: writeHeapSnapshot(order.snapshot) });
});
const end = () => server.stop().finally(() => process.exit(0));
process.once('SIGTERM', end);
process.once('disconnect', end);
const ready: WeighedReady = { issuer: server.issuer, set_up_link: await setUpLink(server.store) };
process.send?.(ready);
