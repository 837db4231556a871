import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 15_000;

/** One of our own commands as a process of its own, with the JSON line it printed when it was ready. */
export interface Part<Ready> {
  readonly ready: Ready;
  readonly process: ChildProcess;
  /** Asks it to end (SIGTERM) and waits until it did. Resolves with its exit code. */
  stop(): Promise<number | null>;
}

/** Runs `countersign <args> --json` and waits for its line. Its standard error goes to `onError`, if it says anything. */
export async function startPart<Ready>(
  args: readonly string[],
  options: { readonly onError?: (text: string) => void; readonly cwd?: string } = {},
): Promise<Part<Ready>> {
  const [command = '', ...rest] = args;
  const child = spawn(process.execPath, [COMMAND, command, '--json', ...rest], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-20_000);
    options.onError?.(text);
  });
  const line = await firstLine(child, () => errors, command);
  return {
    ready: JSON.parse(line) as Ready,
    process: child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
      await exited;
      clearTimeout(timer);
      return child.exitCode;
    },
  };
}

function firstLine(child: ChildProcess, errors: () => string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`"${command}" was not ready within ${READY_MS_MAX / 1000} s.\n${errors()}`));
    }, READY_MS_MAX);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      const end = output.indexOf('\n');
      if (end < 0) return;
      clearTimeout(timer);
      resolve(output.slice(0, end));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`"${command}" ended with ${code}.\n${errors()}`));
    });
  });
}
