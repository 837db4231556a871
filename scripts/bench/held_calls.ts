import { setTimeout as sleep } from 'node:timers/promises';
import { becomeOperator, type ServerReady } from '../../examples/demo/set_up.ts';
import { WAIT_SECONDS_MAX } from '../../src/approvals/limits.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { GUARD_API, GUARD_API_SCOPE } from '../../src/wire/guard_api.ts';
import { openStepUp } from './approved_files.ts';
import { median } from './figures.ts';
import { HeldSockets } from './held_sockets.ts';
import { Installation, singleRedis, untilReady } from './installation.ts';
import { HELD_CALLS, HELD_MS, MEMORY_ROUNDS, PENDING_STEP_UPS, REST_MS } from './limits.ts';
import { acceptedGuard, type NodeWorld, newTokens, setNodeWorld, startTask } from './node_world.ts';
import { type Program, startProgram } from './programs.ts';
import { RedisServer } from './redis_server.ts';
import type { WeighedReady, Weight } from './weighed_node.ts';

/** Below what one tool server may have of them at a time. */
const HELD_PER_GUARD = 500;
/** Sent a few at a time, so that none meets the limit of requests that are worked on at a time. */
const SENT_AT_A_TIME = 25;
const PROBE_PAUSE_MS = 15;

/** Per item, in bytes; medians over the rounds. */
export interface MemoryFinding {
  readonly stepUps: number;
  readonly perStepUp: Weight;
  readonly held: number;
  readonly perSocket: Weight;
  /** Beyond its socket. */
  readonly perHeld: Weight;
}

type Closing = (() => Promise<unknown>)[];
type Node = Program<WeighedReady>;

interface Pending {
  readonly world: NodeWorld;
  readonly stepUps: readonly string[];
}

interface Held {
  readonly perSocket: Weight;
  readonly perHeld: Weight;
}

/** What pending step-ups cost a node, and what calls cost that wait at it for a decision. */
export async function measureMemory(closing: Closing): Promise<MemoryFinding> {
  const redis = await RedisServer.open();
  closing.push(() => redis.kill());
  const installation = await Installation.open(singleRedis(redis.port));
  closing.push(() => installation.close());
  const port = await freePort();
  const node: Node = await startProgram(new URL('./weighed_node.ts', import.meta.url), [
    ...['--config', installation.config, '--port', String(port)],
  ]);
  closing.push(() => node.stop());
  installation.spreader.useOnly([port]);
  await untilReady(port);
  const world = await setNodeWorld(installation, await becomeOperator(node.ready as ServerReady, 'Operator'));
  closing.push(() => world.close());
  const worlds = [world, ...(await moreGuards(world, closing))];
  await holdOnce(
    node,
    port,
    worlds.map((one) => ({ world: one, stepUps: [] })),
  );
  const before = await weigh(node);
  const pending: Pending[] = [];
  for (const one of worlds) pending.push({ world: one, stepUps: await makePending(one, worlds.length) });
  await sleep(REST_MS);
  const perStepUp = each(before, await weigh(node), PENDING_STEP_UPS);
  const rounds: Held[] = [];
  for (let round = 0; round < MEMORY_ROUNDS; round += 1) rounds.push(await holdOnce(node, port, pending));
  return {
    ...{ stepUps: PENDING_STEP_UPS, perStepUp, held: HELD_CALLS },
    perSocket: usual(rounds.map(({ perSocket }) => perSocket)),
    perHeld: usual(rounds.map(({ perHeld }) => perHeld)),
  };
}

async function moreGuards(world: NodeWorld, closing: Closing): Promise<NodeWorld[]> {
  const worlds: NodeWorld[] = [];
  for (let index = 1; index * HELD_PER_GUARD < HELD_CALLS; index += 1) {
    const guard = await acceptedGuard(world.operator, world.installation.issuer, `notes-${index}`);
    closing.push(() => guard.close());
    worlds.push({ ...world, guard, taskId: await startTask(world.agent, guard) });
  }
  return worlds;
}

/** One step-up is asked for the usual way, and then there are as many like it as wanted. */
async function makePending(world: NodeWorld, worlds: number): Promise<string[]> {
  const { caller } = await newTokens(world);
  const { step_up_id } = await openStepUp(world, caller, 'pending.md');
  const copies = `insert into step_ups select (jsonb_populate_record(s, jsonb_build_object(
      'id', s.id || '-' || i, 'txn', s.txn || '-' || i, 'binding_digest', s.binding_digest || '-' || i,
      'expires_at', clock_timestamp() + interval '1 hour'))).*
    from step_ups s, generate_series(1, $2::int) i where s.id = $1 returning id`;
  const count = Math.ceil(PENDING_STEP_UPS / worlds);
  return (await world.installation.query<{ id: string }>(copies, [step_up_id, count])).map(({ id }) => id);
}

/** Idle connections are weighed first, and then the same with a call held on each. */
async function holdOnce(node: Node, port: number, pending: readonly Pending[]): Promise<Held> {
  const before = await weigh(node);
  const sockets = await HeldSockets.open(port, HELD_CALLS);
  try {
    const host = `127.0.0.1:${port}`;
    await sockets.answered(`GET /livez HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const idle = await weigh(node);
    const waits = (await Promise.all(pending.map(waitsOf))).flat();
    const { steps, problems } = sockets.hold(async (index) => (await waits[index]?.()) ?? '');
    // A few at a time: an answer to the probe says that the node has read what came before.
    for (const [index, step] of steps.slice(0, waits.length).entries()) {
      await step();
      if (index % SENT_AT_A_TIME === 0) await probe(port);
    }
    await sleep(waits.length === 0 ? 0 : HELD_MS);
    const held = await weigh(node);
    if (problems.length > 0 || !sockets.isWhole) throw new Error(`A call was not held: ${problems[0]}`);
    return { perSocket: each(before, idle, HELD_CALLS), perHeld: each(idle, held, HELD_CALLS) };
  } finally {
    sockets.close();
    await sleep(REST_MS);
  }
}

async function probe(port: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/readyz`);
  await response.arrayBuffer();
  await sleep(PROBE_PAUSE_MS);
}

/** For each step-up what makes the request that waits for it, with a new proof each time. */
async function waitsOf({ world, stepUps }: Pending): Promise<(() => Promise<string>)[]> {
  const { guard, installation } = world;
  const own = await guard.token({ scope: GUARD_API_SCOPE });
  return stepUps.slice(0, HELD_PER_GUARD).map((stepUp) => async () => {
    const path = GUARD_API.wait(stepUp);
    const proof = await guard.proof(path, { method: 'GET', accessToken: own });
    const headers = [`Host: ${installation.host}`, `Authorization: DPoP ${own}`, `DPoP: ${proof}`].join('\r\n');
    return `GET ${path}?seconds=${WAIT_SECONDS_MAX} HTTP/1.1\r\n${headers}\r\n\r\n`;
  });
}

function weigh({ process: child }: Node): Promise<Weight> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('The node ended.'));
    child.once('exit', ended);
    child.once('message', (weight: Weight) => {
      child.off('exit', ended);
      resolve(weight);
    });
    child.send('weigh');
  });
}

function each(before: Weight, after: Weight, count: number): Weight {
  return {
    heapBytes: (after.heapBytes - before.heapBytes) / count,
    residentBytes: (after.residentBytes - before.residentBytes) / count,
  };
}

function usual(weights: readonly Weight[]): Weight {
  return {
    heapBytes: median(weights.map(({ heapBytes }) => heapBytes)),
    residentBytes: median(weights.map(({ residentBytes }) => residentBytes)),
  };
}
