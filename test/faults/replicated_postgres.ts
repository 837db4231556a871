import { chown, cp, lstat, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../src/kernel/logger.ts';
import { clusterPaths } from '../../src/store/postgres/embedded/cluster.ts';
import { isPostmasterAlive } from '../../src/store/postgres/embedded/postmaster.ts';
import { SOCKET_PORT } from '../../src/store/postgres/embedded/settings.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/postgres/embedded.ts';
import { until } from './installation.ts';
import { postgresProcesses, query } from './records.ts';
import { TcpProxy } from './tcp_proxy.ts';

const SETTINGS = {
  wal_level: 'replica',
  max_wal_senders: '4',
  hot_standby: 'on',
  wal_retrieve_retry_interval: '200ms',
};
const STANDBY = 'standby';
const GONE_POLL_MS = 20;
const CANCEL_POLL_MS = 200;

/** A primary with a synchronous standby, with the durability of the product, and one address that can be moved. */
export class ReplicatedPostgres {
  readonly #primary: string;
  readonly #standby: string;
  readonly #running = new Map<string, EmbeddedPostgres>();
  /** The way of the standby to the primary. */
  #replication!: TcpProxy;
  proxy!: TcpProxy;
  /** Of the address. */
  url = '';

  private constructor(root: string) {
    this.#primary = join(root, 'primary');
    this.#standby = join(root, 'standby');
  }

  static async open(root: string): Promise<ReplicatedPostgres> {
    const pair = new ReplicatedPostgres(root);
    try {
      await pair.#open();
      return pair;
    } catch (error) {
      await pair.close();
      throw error;
    }
  }

  async #open(): Promise<void> {
    const first = await this.#start(this.#primary, {});
    await first.stop();
    await cp(this.#primary, this.#standby, { recursive: true, preserveTimestamps: true });
    await this.#giveLike();
    const primary = await this.#start(this.#primary, {});
    const { password, user, database } = primary.connection;
    this.#replication = await TcpProxy.open(this.#socketOf(this.#primary));
    const { user: administrator } = primary.administration;
    await writeFile(join(clusterPaths(this.#standby).cluster, 'standby.signal'), '', { mode: 0o666 });
    await this.#giveLike();
    const conninfo = `host=127.0.0.1 port=${this.#replication.port} user=${administrator} password=${password} application_name=${STANDBY}`;
    await this.#start(this.#standby, { primary_conninfo: conninfo });
    await this.#isStreaming('async');
    // Written to a file of the primary alone: once promoted, the standby waits for nobody.
    await query(this.#primary, `alter system set synchronous_standby_names = '${STANDBY}'`);
    await query(this.#primary, 'select pg_reload_conf()');
    await this.#isStreaming('sync');
    this.proxy = await TcpProxy.open(this.#socketOf(this.#primary));
    this.url = `postgres://${user}:${password}@127.0.0.1:${this.proxy.port}/${database}`;
  }

  async #start(dataDirectory: string, settings: Record<string, string>): Promise<EmbeddedPostgres> {
    const log = silentLogger;
    const running = await startEmbeddedPostgres({ dataDirectory, log, settings: { ...SETTINGS, ...settings } });
    this.#running.set(dataDirectory, running);
    return running;
  }

  #socketOf(dataDirectory: string) {
    return { path: join(this.#running.get(dataDirectory)!.connection.socketDirectory, `.s.PGSQL.${SOCKET_PORT}`) };
  }

  async #isStreaming(state: 'async' | 'sync'): Promise<void> {
    await until(`the standby is ${state}`, async () => {
      const rows = await query(
        this.#primary,
        `select from pg_stat_replication where state = 'streaming' and sync_state = '${state}'`,
      );
      return rows.length === 1 ? true : undefined;
    });
  }

  /** The copy belongs to whom the original belongs to. */
  async #giveLike(): Promise<void> {
    const { uid, gid } = await lstat(clusterPaths(this.#primary).cluster);
    const home = clusterPaths(this.#standby).home;
    for (const entry of await readdir(home, { recursive: true })) await chown(join(home, entry), uid, gid);
    await chown(home, uid, gid);
  }

  /** The network between the two is cut: what the primary commits reaches nobody. */
  cutOffStandby(): void {
    this.#replication.refuse();
    this.#replication.cut();
  }

  /** As an operator does who gives up waiting for the standby, again and again until `work` has ended. */
  async cancelWaitsDuring<Value>(work: Promise<Value>): Promise<PromiseSettledResult<Value>> {
    let isOver = false;
    const settled = Promise.allSettled([work]).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await query(this.#primary, "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'");
      await sleep(CANCEL_POLL_MS);
    }
    return (await settled)[0];
  }

  reconnectStandby(): void {
    this.#replication.heal();
  }

  /** kill -9 of the primary; it is gone when this resolves. */
  async killPrimary(): Promise<void> {
    const processes = postgresProcesses(this.#primary);
    this.#running.delete(this.#primary);
    process.kill(processes[0]!, 'SIGKILL');
    while (processes.some((pid) => isPostmasterAlive(pid))) await sleep(GONE_POLL_MS);
  }

  /** The address leads to the standby, promoted or not. */
  moveAddress(): void {
    this.proxy.forwardTo(this.#socketOf(this.#standby));
    this.proxy.cut();
  }

  async promote(): Promise<void> {
    await query(this.#standby, 'select pg_promote()');
  }

  async close(): Promise<void> {
    await this.proxy?.close();
    await this.#replication?.close();
    for (const running of [...this.#running.values()].reverse()) await running.stop();
  }
}
