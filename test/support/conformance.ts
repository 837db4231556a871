import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const RUN_TIMEOUT_MS = 60_000;

export interface ConformanceRun {
  readonly issuer: string;
  readonly clientId: string;
  readonly resource: string;
  readonly callbackPort: number;
  readonly specVersion: string;
  /** Goes through the authorization as a person's browser would, up to the callback of the suite. */
  readonly authorize: (address: string) => Promise<void>;
}

/** Runs the `authorization` mode of the MCP conformance suite; its exit code and everything it printed. */
export async function runAuthorizationConformance(run: ConformanceRun): Promise<{ code: number; output: string }> {
  const require = createRequire(import.meta.url);
  const entry = join(dirname(require.resolve('@modelcontextprotocol/conformance/package.json')), 'dist', 'index.js');
  const results = join(tmpdir(), `countersign-conformance-${process.pid}-${run.callbackPort}`);
  const child = spawn(
    process.execPath,
    [
      entry,
      'authorization',
      ...['--url', run.issuer, '--client-id', run.clientId, '--resource', run.resource],
      ...['-p', String(run.callbackPort), '--spec-version', run.specVersion, '-o', results],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: RUN_TIMEOUT_MS },
  );
  let output = '';
  let isAuthorizing = false;
  let failure: unknown;
  const onOutput = (chunk: Buffer): void => {
    output += chunk.toString('utf8');
    const address = /https?:\/\/\S*\/authorize\?\S+(?=\s)/.exec(output)?.[0];
    if (address === undefined || isAuthorizing) return;
    isAuthorizing = true;
    run.authorize(address).catch((error: unknown) => {
      failure = error;
      child.kill();
    });
  };
  child.stdout.on('data', onOutput);
  child.stderr.on('data', onOutput);
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode) => resolve(exitCode ?? -1));
  });
  await rm(results, { recursive: true, force: true });
  if (failure !== undefined) throw failure;
  return { code, output };
}
