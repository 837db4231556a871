import { approveFiles } from './approved_files.ts';
import { median, type Run, typical } from './figures.ts';
import { Installation, singleRedis } from './installation.ts';
import { MANY_CONNECTIONS, NODE_COUNTS, NODE_REQUESTS_MAX, NODE_ROUNDS, NODE_RUN_MS, WARM_UP_MS } from './limits.ts';
import type { LoadGenerator } from './load.ts';
import { EVALUATION, INTROSPECTION, type NodeQuestion, redemption, STEP_UP, TOKEN } from './node_requests.ts';
import { type NodeWorld, setNodeWorld } from './node_world.ts';
import { cpuMs } from './processes.ts';
import { RedisServer } from './redis_server.ts';

/** CPU time of one request, by who used it. Null where it cannot be told. */
export interface CpuShares {
  readonly nodes: number | null;
  readonly postgres: number | null;
  readonly redis: number | null;
}

export interface NodesFinding {
  readonly what: string;
  readonly nodes: number;
  readonly run: Run;
  readonly cpu: CpuShares;
}

/** Requests of each kind at one, two and four `countersign serve` on the same PostgreSQL and Redis. */
export async function measureNodes(
  load: LoadGenerator,
  closing: (() => Promise<unknown>)[],
): Promise<readonly NodesFinding[]> {
  const redis = await RedisServer.open();
  closing.push(() => redis.kill());
  const installation = await Installation.open(singleRedis(redis.port));
  closing.push(() => installation.close());
  await installation.startNode();
  const world = await setNodeWorld(installation);
  closing.push(() => world.close());
  const questions = [TOKEN, INTROSPECTION, EVALUATION, STEP_UP, redemption(await approveFiles(world))];
  const findings: NodesFinding[] = [];
  for (const count of NODE_COUNTS) {
    while (installation.nodes.length < count) await installation.startNode();
    findings.push(...(await measureCount(load, world, questions, redis.pid)));
  }
  return findings;
}

async function measureCount(
  load: LoadGenerator,
  world: NodeWorld,
  questions: readonly NodeQuestion[],
  redisPid: number,
): Promise<NodesFinding[]> {
  const { installation } = world;
  const found = new Map(questions.map((question) => [question, { runs: [] as Run[], shares: [] as CpuShares[] }]));
  for (const question of questions) await runOnce(load, world, question, WARM_UP_MS);
  for (let round = 0; round < NODE_ROUNDS; round += 1) {
    for (const question of round % 2 === 0 ? questions : questions.toReversed()) {
      const before = await used(installation, redisPid);
      const run = await runOnce(load, world, question, NODE_RUN_MS);
      const after = await used(installation, redisPid);
      found.get(question)?.runs.push(run);
      found.get(question)?.shares.push(between(before, after, run.requests));
    }
  }
  return questions.map((question) => {
    const { runs, shares } = found.get(question) ?? { runs: [], shares: [] };
    return { what: question.name, nodes: installation.nodes.length, run: typical(runs), cpu: usual(shares) };
  });
}

async function runOnce(
  load: LoadGenerator,
  world: NodeWorld,
  question: NodeQuestion,
  milliseconds: number,
): Promise<Run> {
  const { installation } = world;
  return load.run({
    kind: 'spread',
    addresses: installation.nodes.map(({ port }) => `http://127.0.0.1:${port}`),
    host: installation.host,
    path: question.path,
    expected: question.expected,
    requests: await question.prepare(world, NODE_REQUESTS_MAX),
    ...{ connections: MANY_CONNECTIONS, milliseconds, requestsMax: NODE_REQUESTS_MAX },
  });
}

async function used({ nodes, postgres }: Installation, redisPid: number): Promise<CpuShares> {
  return {
    nodes: await cpuMs(nodes.map(({ pid }) => pid)),
    postgres: await cpuMs([postgres.postmasterPid]),
    redis: await cpuMs([redisPid]),
  };
}

function between(before: CpuShares, after: CpuShares, requests: number): CpuShares {
  const per = (from: number | null, to: number | null) =>
    from === null || to === null ? null : (to - from) / requests;
  return {
    nodes: per(before.nodes, after.nodes),
    postgres: per(before.postgres, after.postgres),
    redis: per(before.redis, after.redis),
  };
}

function usual(shares: readonly CpuShares[]): CpuShares {
  const of = (which: keyof CpuShares) => {
    const values = shares.map((share) => share[which]).filter((value) => value !== null);
    return values.length === 0 ? null : median(values);
  };
  return { nodes: of('nodes'), postgres: of('postgres'), redis: of('redis') };
}
