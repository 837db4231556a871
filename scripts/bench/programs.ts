import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { READY_MS_MAX } from './limits.ts';

const STOP_MS_MAX = 15_000;
const ERRORS_CHARACTERS_MAX = 5_000;

/** A program of the benchmark in a process of its own; `ready` is its first message. */
export interface Program<Ready> {
  readonly ready: Ready;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** Starts a program and waits for its first message. What it writes is kept for the error only. */
export async function startProgram<Ready>(file: URL, args: readonly string[]): Promise<Program<Ready>> {
  const child = fork(fileURLToPath(file), [...args], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-ERRORS_CHARACTERS_MAX);
  });
  const ready = await new Promise<Ready>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${file.pathname} was not ready in time.\n${errors}`));
    }, READY_MS_MAX);
    child.once('message', (message) => {
      clearTimeout(timer);
      resolve(message as Ready);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`${file.pathname} ended with ${code}.\n${errors}`));
    });
  });
  return {
    ready,
    process: child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
      await exited;
      clearTimeout(timer);
    },
  };
}
