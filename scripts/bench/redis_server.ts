import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/cli/free_port.ts';
import { endsWithUs } from '../../test/faults/ends_with_us.ts';
import { READY_MS_MAX, READY_POLL_MS } from './limits.ts';

/** A real redis-server of the benchmark, configured as docs/operations.md asks for. */
export class RedisServer {
  readonly port: number;
  #child: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
  }

  static async open(): Promise<RedisServer> {
    const redis = new RedisServer(await freePort());
    await redis.start();
    return redis;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const args = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    // Nothing is ever written to its directory.
    const child = spawn('redis-server', args, { stdio: 'ignore', cwd: tmpdir() });
    endsWithUs(child);
    this.#child = child;
    await Promise.race([once(child, 'spawn'), once(child, 'error').then(([error]) => Promise.reject(error))]);
    const endsAt = performance.now() + READY_MS_MAX;
    while (!(await answers(this.port))) {
      if (performance.now() > endsAt) throw new Error('redis-server did not answer in time.');
      await sleep(READY_POLL_MS);
    }
  }

  /** kill -9; it is gone when this resolves. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (bytes) => {
      socket.destroy();
      resolve(bytes.includes('PONG'));
    });
  });
}
