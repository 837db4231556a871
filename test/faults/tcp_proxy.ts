import { connect, createServer, type Server, type Socket } from 'node:net';

/** Where a proxy forwards to: a port of this machine, or a Unix socket (`<directory>/.s.PGSQL.5432` for PostgreSQL). */
export type ProxyTarget = { readonly port: number; readonly host?: string } | { readonly path: string };

/** `requests` go from the client to the target, `replies` come back. */
export type Direction = 'requests' | 'replies';

/** What a proxy has seen since it was opened. */
export interface ProxyCounts {
  /** Connections that clients opened, those refused included. */
  readonly opened: number;
  /** Connections open at this moment. */
  readonly live: number;
  readonly refused: number;
  /** Connections destroyed by `cut` or `heal`. */
  readonly cut: number;
  /** Bytes that arrived in this direction, those swallowed included. */
  readonly bytes: Readonly<Record<Direction, number>>;
  readonly swallowed: Readonly<Record<Direction, number>>;
}

interface Pair {
  readonly client: Socket;
  readonly target: Socket;
  isMaimed: boolean;
}

type Listener = (bytes: Buffer) => void;
const DIRECTIONS: readonly Direction[] = ['requests', 'replies'];

/**
 * A TCP proxy on a free port of 127.0.0.1 that can be told to misbehave. It starts honest; faults add up until `heal`.
 *
 *     const proxy = await TcpProxy.open({ port: 6379 });
 *     proxy.watch('requests', (bytes) => bytes.includes('commit') && proxy.mute('replies'));  // a lost reply
 */
export class TcpProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #muted = new Set<Direction>();
  readonly #listeners: Record<Direction, Set<Listener>> = { requests: new Set(), replies: new Set() };
  readonly #counts = {
    ...{ opened: 0, refused: 0, cut: 0 },
    bytes: { requests: 0, replies: 0 },
    swallowed: { requests: 0, replies: 0 },
  };
  #target: ProxyTarget;
  #delayMs = 0;
  #isRefusing = false;

  private constructor(server: Server, port: number, target: ProxyTarget) {
    this.#server = server;
    this.port = port;
    this.#target = target;
  }

  static async open(target: ProxyTarget, port = 0): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(port, '127.0.0.1', resolve);
    });
    const address = server.address();
    const proxy = new TcpProxy(server, typeof address === 'object' ? (address?.port ?? 0) : 0, target);
    server.on('connection', (client) => proxy.#accept(client));
    return proxy;
  }

  /** New connections go there. Those that are open stay where they are: `cut` them too, to move everybody. */
  forwardTo(target: ProxyTarget): void {
    this.#target = target;
  }

  /** Destroys every open connection at both ends, with a reset. Returns how many. */
  cut(): number {
    return this.#destroy(() => true);
  }

  /**
   * Swallows every byte of this direction (both, if none is named), of connections open and new, until `heal`. With both
   * directions muted the network is partitioned: nobody is told anything.
   */
  mute(direction?: Direction): void {
    for (const one of direction === undefined ? DIRECTIONS : [direction]) this.#muted.add(one);
  }

  /** Delivers what arrives from now on so much later, in both directions and in order. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Resets new connections at once. Open ones go on: `cut` them too. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** Honest again. Connections that lost bytes are destroyed, because their streams have holes. */
  heal(): void {
    this.#muted.clear();
    this.#delayMs = 0;
    this.#isRefusing = false;
    this.#destroy((pair) => pair.isMaimed);
  }

  /** Sees every chunk of a direction before it is passed on, and may call `mute` or `cut` just then. Returns the undoing. */
  watch(direction: Direction, listener: Listener): () => void {
    this.#listeners[direction].add(listener);
    return () => this.#listeners[direction].delete(listener);
  }

  get counts(): ProxyCounts {
    const { bytes, swallowed, ...counts } = this.#counts;
    return { ...counts, live: this.#pairs.size, bytes: { ...bytes }, swallowed: { ...swallowed } };
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  #accept(client: Socket): void {
    this.#counts.opened += 1;
    if (this.#isRefusing) {
      this.#counts.refused += 1;
      client.on('error', () => {}).resetAndDestroy();
      return;
    }
    const pair: Pair = { client, target: connect({ ...this.#target, allowHalfOpen: true }), isMaimed: false };
    pair.target.setNoDelay(true);
    this.#pairs.add(pair);
    this.#carry(pair, 'requests', client, pair.target);
    this.#carry(pair, 'replies', pair.target, client);
  }

  #carry(pair: Pair, direction: Direction, from: Socket, to: Socket): void {
    const later = this.#inOrder();
    const isSwallowed = () => {
      if (!this.#muted.has(direction)) return false;
      pair.isMaimed = true;
      return true;
    };
    from.on('data', (bytes: Buffer) => {
      this.#counts.bytes[direction] += bytes.length;
      for (const listener of this.#listeners[direction]) listener(bytes);
      if (!isSwallowed()) later(() => pass(bytes, from, to));
      else this.#counts.swallowed[direction] += bytes.length;
    });
    // A partition hides the end of a connection as well.
    from.on('end', () => isSwallowed() || later(() => to.end()));
    from.on('error', () => {});
    from.on('close', (hadError) => {
      if (from.readableEnded && !hadError) {
        if (to.destroyed) this.#pairs.delete(pair);
      } else if (!isSwallowed()) later(() => this.#end(pair));
    });
  }

  /** Runs deliveries one after the other, whatever the delay was changed to meanwhile. */
  #inOrder(): (deliver: () => void) => void {
    const waiting: (() => void)[] = [];
    return (deliver) => {
      if (this.#delayMs === 0 && waiting.length === 0) {
        deliver();
        return;
      }
      waiting.push(deliver);
      setTimeout(() => waiting.shift()?.(), this.#delayMs);
    };
  }

  #end(pair: Pair): void {
    this.#pairs.delete(pair);
    for (const socket of [pair.client, pair.target]) reset(socket);
  }

  #destroy(which: (pair: Pair) => boolean): number {
    const pairs = [...this.#pairs].filter(which);
    for (const pair of pairs) this.#end(pair);
    this.#counts.cut += pairs.length;
    return pairs.length;
  }
}

/** A Unix socket knows no reset, and is closed. */
function reset(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting || socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}

function pass(bytes: Buffer, from: Socket, to: Socket): void {
  if (to.destroyed || to.write(bytes) || from.isPaused()) return;
  from.pause();
  to.once('drain', () => from.resume());
}
