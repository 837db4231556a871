import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { silentLogger } from '../../src/kernel/logger.ts';
import { isPostmasterAlive } from '../../src/store/postgres/embedded/postmaster.ts';
import { SOCKET_PORT } from '../../src/store/postgres/embedded/settings.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/postgres/embedded.ts';
import { postgresProcesses, query } from './records.ts';
import { TcpProxy } from './tcp_proxy.ts';

// The servers of a topology come with a pool each, and so does whoever asks what is stored.
const SETTINGS = { max_connections: '120' };
const GONE_POLL_MS = 20;

/** A PostgreSQL of the test's own, with the durability of the product, that servers reach by proxies over TCP. */
export class OwnPostgres {
  readonly dataDirectory: string;
  readonly proxies: TcpProxy[] = [];
  #running: EmbeddedPostgres | undefined;
  #frozen: number[] = [];

  private constructor(dataDirectory: string) {
    this.dataDirectory = dataDirectory;
  }

  static async open(dataDirectory: string): Promise<OwnPostgres> {
    const postgres = new OwnPostgres(dataDirectory);
    await postgres.start();
    return postgres;
  }

  async start(): Promise<void> {
    const { dataDirectory } = this;
    this.#running = await startEmbeddedPostgres({ dataDirectory, log: silentLogger, settings: SETTINGS });
  }

  get #connection() {
    if (this.#running === undefined) throw new Error('PostgreSQL does not run.');
    return this.#running.connection;
  }

  /** A new proxy to it, and the URL of the database by that proxy. */
  async openProxy(): Promise<{ proxy: TcpProxy; url: string }> {
    const { socketDirectory, user, password, database } = this.#connection;
    const proxy = await TcpProxy.open({ path: join(socketDirectory, `.s.PGSQL.${SOCKET_PORT}`) });
    this.proxies.push(proxy);
    return { proxy, url: `postgres://${user}:${password}@127.0.0.1:${proxy.port}/${database}` };
  }

  query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return query<Row>(this.dataDirectory, text, values);
  }

  /** kill -9 of the main process; the others notice and end. It is down when this resolves. */
  async kill(): Promise<void> {
    const processes = postgresProcesses(this.dataDirectory);
    const [postmaster] = processes;
    this.#running = undefined;
    process.kill(postmaster!, 'SIGKILL');
    while (processes.some((pid) => isPostmasterAlive(pid))) await sleep(GONE_POLL_MS);
  }

  /** Fast shutdown: open transactions are rolled back, connections closed. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.stop();
  }

  freeze(): void {
    this.#frozen = postgresProcesses(this.dataDirectory);
    for (const pid of this.#frozen) process.kill(pid, 'SIGSTOP');
  }

  resume(): void {
    for (const pid of this.#frozen.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGCONT');
  }

  async close(): Promise<void> {
    this.resume();
    for (const proxy of this.proxies.splice(0)) await proxy.close();
    await this.stop();
  }
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}
