import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startServer } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/dev.ts';
import { median } from './figures.ts';
import { FIRST_STARTS, LATER_STARTS, READY_MS_MAX, READY_POLL_MS, REST_MS } from './limits.ts';
import { type Memory, readMemory } from './memory.ts';

export interface StartUp {
  readonly firstMs: number;
  readonly laterMs: number;
  /** Null where the system does not tell (no /proc). */
  readonly memory: Memory | null;
}

/** From the command to the first 200 of the discovery document: with a new data directory, and with one that is there. */
export async function measureStarts(): Promise<StartUp> {
  const root = await mkdtemp(join(tmpdir(), 'countersign-bench-starts-'));
  try {
    const first: number[] = [];
    for (let count = 0; count < FIRST_STARTS; count += 1) first.push((await startOnce(join(root, `${count}`))).ms);
    const later: number[] = [];
    const memories: (Memory | null)[] = [];
    for (let count = 0; count < LATER_STARTS; count += 1) {
      const { ms, memory } = await startOnce(join(root, '0'), count === 0);
      later.push(ms);
      memories.push(memory);
    }
    return { firstMs: median(first), laterMs: median(later), memory: memories[0] ?? null };
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function startOnce(dataDirectory: string, isWeighed = false): Promise<{ ms: number; memory: Memory | null }> {
  const port = await freePort();
  const startedAt = performance.now();
  const answered = untilAnswer(`http://localhost:${port}/.well-known/oauth-authorization-server`);
  const server = await startServer(dataDirectory, port);
  try {
    const ms = (await answered) - startedAt;
    if (!isWeighed) return { ms, memory: null };
    await sleep(REST_MS);
    return { ms, memory: await readMemory(server.ready.pid) };
  } finally {
    await server.stop();
  }
}

async function untilAnswer(url: string): Promise<number> {
  const endsAt = performance.now() + READY_MS_MAX;
  while (performance.now() < endsAt) {
    const response = await fetch(url).catch(() => null);
    await response?.body?.cancel();
    if (response?.status === 200) return performance.now();
    await sleep(READY_POLL_MS);
  }
  throw new Error(`${url} did not answer in time.`);
}
