import { appendFileSync } from 'node:fs';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { endsWithUs } from './ends_with_us.ts';
import { killHard } from './installation.ts';
import type { TcpProxy } from './tcp_proxy.ts';

/** One `countersign serve` process, with proxies of its own to the stores. */
export class ServerNode {
  readonly index: number;
  readonly port: number;
  readonly log: string;
  /** Its way to PostgreSQL. */
  readonly database: TcpProxy;
  readonly #config: string;
  #part: Part<ServerReady> | undefined;
  #isFrozen = false;

  constructor(at: { index: number; port: number; log: string; config: string; database: TcpProxy }) {
    this.index = at.index;
    this.port = at.port;
    this.log = at.log;
    this.database = at.database;
    this.#config = at.config;
  }

  /** Past the load balancer. Only probes are answered here, whatever host they name; the rest wants the issuer's. */
  get address(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get isRunning(): boolean {
    const child = this.#part?.process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  async start(): Promise<ServerReady> {
    this.#part = await startPart<ServerReady>(['serve', '--config', this.#config, '--port', String(this.port)], {
      onError: (text) => appendFileSync(this.log, text),
    });
    endsWithUs(this.#part.process);
    return this.#part.ready;
  }

  get ready(): ServerReady {
    if (this.#part === undefined) throw new Error(`Server ${this.index} was never started.`);
    return this.#part.ready;
  }

  /** kill -9; it is gone when this resolves. */
  async kill(): Promise<void> {
    this.#isFrozen = false;
    if (this.#part !== undefined) await killHard(this.#part);
  }

  /** SIGTERM, and its exit code: 0 if it ended in order, null if it had to be killed. */
  async stop(): Promise<number | null> {
    this.resume();
    return (await this.#part?.stop()) ?? null;
  }

  freeze(): void {
    this.#isFrozen = true;
    this.#part?.process.kill('SIGSTOP');
  }

  resume(): void {
    this.#isFrozen = false;
    this.#part?.process.kill('SIGCONT');
  }

  async isReady(): Promise<boolean> {
    return fetch(`${this.address}/readyz`, { signal: AbortSignal.timeout(3_000) }).then(
      async (response) => {
        await response.text();
        return response.status === 200;
      },
      () => false,
    );
  }
}
