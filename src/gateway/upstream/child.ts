import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { STDOUT_DRAIN_MS_MAX, STOP_STEP_MS } from '../limits.ts';

/** A program with everything it needs to start; no shell reads any of it. */
export interface Program {
  /** Absolute, from `resolveCommand`. */
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface Child {
  readonly process: ChildProcessWithoutNullStreams;
  /** Settles when the process is gone, also when it never started. */
  readonly exited: Promise<string>;
  /** End of stdin, one second, SIGTERM to the group, one second, SIGKILL. Safe to call twice. */
  stop(): Promise<void>;
}

/** Starts the program as leader of its own process group, so that stopping it stops what it started too. */
export function startChild(program: Program): Child {
  const child = spawn(program.command, [...program.args], {
    cwd: program.cwd,
    env: program.environment,
    shell: false,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve(`it could not be started (${(error as NodeJS.ErrnoException).code})`);
    });
    child.once('exit', (code, signal) => {
      // What the leader left behind in its group would run on with nobody to end it.
      signalGroup(child.pid, 'SIGKILL');
      const why = signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`;
      // An answer may still be in the pipe; who inherited the pipe may keep it open.
      const timer = setTimeout(resolve, STDOUT_DRAIN_MS_MAX, why);
      child.once('close', () => {
        clearTimeout(timer);
        resolve(why);
      });
    });
  });
  // A write to a program that just died; the exit tells the story.
  child.stdin.on('error', () => {});
  child.stdout.on('error', () => {});
  let stopping: Promise<void> | undefined;
  return {
    process: child,
    exited,
    stop: () => {
      stopping ??= stop(child, exited);
      return stopping;
    },
  };
}

async function stop(child: ChildProcessWithoutNullStreams, exited: Promise<string>): Promise<void> {
  child.stdin.end();
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (await settlesWithin(exited, STOP_STEP_MS)) return;
    signalGroup(child.pid, signal);
  }
  await exited;
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: nobody is left in the group.
  }
}

async function settlesWithin(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, milliseconds, false);
  const settled = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return settled;
}
