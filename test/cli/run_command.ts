import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const RUN_MS_MAX = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Once this is on standard error, the process is asked to end. */
  readonly endAfter?: RegExp;
}

/** Runs a command of ours to its end, as a shell would. */
export function runCommand(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = spawn(process.execPath, [COMMAND, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
    timeout: RUN_MS_MAX,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  return collect(child, options.endAfter);
}

function collect(child: ChildProcess, endAfter: RegExp | undefined): Promise<Ended> {
  let output = '';
  let errors = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
    if (endAfter?.test(errors)) child.kill('SIGTERM');
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output, errors }));
  });
}

/** What an expected failure looks like: code 1, words for the reader, nothing on standard output and no stack. */
export function isPlainFailure({ code, output, errors }: Ended): boolean {
  return code === 1 && output === '' && errors.trim() !== '' && !/^\s+at |This is a bug/m.test(errors);
}

/** The processes whose command line names `text`. */
export function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => commandLine(pid).includes(text))
    .map(Number);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It ended meanwhile.
    return '';
  }
}
