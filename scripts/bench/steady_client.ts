import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { REQUEST_TIMEOUT_MS, STEADY_PERIOD_MS } from './limits.ts';
import { EVALUATION, guardRequest, type NodeQuestion, type PreparedRequest, TOKEN } from './node_requests.ts';
import { type NodeWorld, newTokens } from './node_world.ts';

const REASON_CHARACTERS_MAX = 200;

/** What a client that asks steadily noticed of a fault. */
export interface Noticed {
  readonly what: string;
  /** The longest time between two successes. */
  readonly gapMs: number;
  readonly requests: number;
  /** What came instead, and how often. */
  readonly reasons: ReadonlyMap<string, number>;
  /** From a moment of interest to the next success. */
  firstSuccessMs(after: number): number;
}

/** Two clients, one of `evaluate` and one of tokens, each 20 requests a second, to the nodes in turn, whatever comes back. */
export class SteadyClients {
  readonly #world: NodeWorld;
  readonly #connections = new Agent({ headersTimeout: REQUEST_TIMEOUT_MS, bodyTimeout: REQUEST_TIMEOUT_MS });
  readonly #streams: Promise<Noticed>[];
  #isOver = false;

  private constructor(world: NodeWorld, tokens: { caller: string; own: string }) {
    this.#world = world;
    const body = world.guard.question(tokens.caller, 'read_note', { path: 'a.md' });
    this.#streams = [
      this.#ask(EVALUATION, () => guardRequest(world, tokens.own, EVALUATION.path, body)),
      this.#ask(TOKEN, async () => (await TOKEN.prepare(world, 1))[0] as PreparedRequest),
    ];
  }

  static async start(world: NodeWorld): Promise<SteadyClients> {
    return new SteadyClients(world, await newTokens(world));
  }

  async stop(): Promise<Noticed[]> {
    this.#isOver = true;
    const noticed = await Promise.all(this.#streams);
    await this.#connections.close();
    return noticed;
  }

  async #ask(question: NodeQuestion, prepare: () => Promise<PreparedRequest>): Promise<Noticed> {
    const startedAt = performance.now();
    const successes: number[] = [];
    const sent: Promise<void>[] = [];
    const reasons = new Map<string, number>();
    while (!this.#isOver) {
      const { headers, body } = await prepare();
      const answered = this.#send(question, sent.length, headers, body).catch((error: Error) => error.message);
      sent.push(
        answered.then((problem) => {
          if (problem === null) successes.push(performance.now());
          else reasons.set(problem, (reasons.get(problem) ?? 0) + 1);
        }),
      );
      await sleep(Math.max(0, startedAt + sent.length * STEADY_PERIOD_MS - performance.now()));
    }
    const endedAt = performance.now();
    await Promise.all(sent);
    const times = [startedAt, ...successes.filter((at) => at < endedAt).sort((a, b) => a - b), endedAt];
    return {
      what: question.name,
      gapMs: Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? at))),
      ...{ requests: sent.length, reasons },
      firstSuccessMs: (after) => (successes.find((at) => at > after) ?? Number.NaN) - after,
    };
  }

  async #send({ path, expected }: NodeQuestion, index: number, headers: PreparedRequest['headers'], body: string) {
    const { nodes, host } = this.#world.installation;
    const node = nodes[index % nodes.length];
    const response = await request(`http://127.0.0.1:${node?.port}${path}`, {
      ...{ method: 'POST', headers: { ...headers, host }, body, dispatcher: this.#connections },
    });
    const text = await response.body.text();
    if (response.statusCode === 200 && text.includes(expected)) return null;
    const { error = text, refusal } = JSON.parse(text) as { error?: string; refusal?: { error: string } };
    return `${response.statusCode} ${refusal?.error ?? error}`.slice(0, REASON_CHARACTERS_MAX);
  }
}
