import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../kernel/logger.ts';
import { CONNECTIONS_CHECK_MS, FULL_LOG_MS, LINGER_MS, WRITE_STALL_MS } from './limits.ts';

export interface Connections {
  /** From now on every answer ends its connection. */
  endWithAnswers(): void;
  /** Resolves when no answer is under way. */
  quiet(): Promise<void>;
  /** Ends the connections on which no request is under way. */
  endUnused(): void;
  stop(): void;
}

/**
 * Bounds what connections can hold. When all are taken, the one that has said nothing for longest makes room, then the
 * one that is idle for longest: whoever opens thousands and sends nothing crowds out only himself. A reader who takes
 * nothing of an answer, or who sends on after it, is cut off.
 */
export function boundConnections(
  server: Server,
  options: { readonly connectionsMax: number; readonly log: Logger },
): Connections {
  const all = new Set<Socket>();
  /** In the order in which they began to be silent. */
  const silent = new Set<Socket>();
  const idle = new Set<Socket>();
  const answers = new Set<ServerResponse>();
  const underWay = new WeakMap<Socket, number>();
  const stalled = new WeakSet<Socket>();
  const words = 'all connections are taken; silent and idle ones are closed for new ones (overload.connections_max)';
  const fields = { connections_max: options.connectionsMax };
  const logFull = atMostEvery(FULL_LOG_MS, () => options.log.warn(fields, words));
  const awaiting: (() => void)[] = [];
  let isEnding = false;

  server.on('connection', (socket: Socket) => {
    if (all.size >= options.connectionsMax) {
      logFull();
      const [victim = socket] = silent.size > 0 ? silent : idle;
      forget(victim);
      victim.destroy();
      if (victim === socket) return;
    }
    all.add(socket);
    silent.add(socket);
    socket.once('close', () => forget(socket));
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    silent.delete(socket);
    idle.delete(socket);
    answers.add(response);
    underWay.set(socket, (underWay.get(socket) ?? 0) + 1);
    if (isEnding) response.setHeader('Connection', 'close');
    response.once('finish', () => {
      stalled.delete(socket);
      if (!request.complete) cutOff(request);
      const left = (underWay.get(socket) ?? 1) - 1;
      underWay.set(socket, left);
      if (left === 0 && all.has(socket)) idle.add(socket);
    });
    response.once('close', () => {
      answers.delete(response);
      if (answers.size === 0) for (const resolve of awaiting.splice(0)) resolve();
    });
  });

  function forget(socket: Socket): void {
    all.delete(socket);
    silent.delete(socket);
    idle.delete(socket);
  }

  const stop = cutStalled(answers, stalled);
  return {
    endWithAnswers() {
      isEnding = true;
      for (const response of answers) if (!response.headersSent) response.setHeader('Connection', 'close');
    },
    quiet: () => new Promise((resolve) => (answers.size === 0 ? resolve() : awaiting.push(resolve))),
    endUnused() {
      for (const socket of [...silent, ...idle]) socket.destroy();
    },
    stop,
  };
}

/** Looks from time to time at who takes nothing of his answer. Gives back how to stop. */
function cutStalled(answers: ReadonlySet<ServerResponse>, stalled: WeakSet<Socket>): () => void {
  const timer = setInterval(() => {
    for (const { socket } of answers) {
      if (socket === null) continue;
      const isHeldUp = socket.writableLength > 0;
      // The socket's own time limit knows whether the system took a part of what waits to be sent.
      if (isHeldUp !== stalled.has(socket)) socket.setTimeout(isHeldUp ? WRITE_STALL_MS : 0);
      if (isHeldUp) stalled.add(socket);
      else stalled.delete(socket);
    }
  }, CONNECTIONS_CHECK_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** The answer is out before the body was in. Its sender gets a moment to read it; without that a reset would destroy it. */
function cutOff(request: IncomingMessage): void {
  const timer = setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, LINGER_MS);
  request.socket.once('close', () => clearTimeout(timer));
}

function atMostEvery(ms: number, act: () => void): () => void {
  let notBefore = 0;
  return () => {
    if (performance.now() < notBefore) return;
    notBefore = performance.now() + ms;
    act();
  };
}
