import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@modelcontextprotocol/client';
import { registerAgent } from '../../examples/demo/set_up.ts';
import { callWithApproval, type ServiceAgent, type Waiting } from '../../src/agent/index.ts';
import type { GuardedLedger } from './guarded_ledger.ts';
import type { History, Verdict } from './history.ts';
import { type Answer, call } from './installation.ts';
import { decideOn } from './recorded_clients.ts';
import type { SeededRandom } from './seeded_random.ts';
import type { Topology } from './topology.ts';

// Whole calls as agents make them: an MCP client, the gateway, a held call, a person, and a tool that leaves a mark.

const TRIES_MAX = 40;
const HELD_SECONDS_MAX = 60;
const AGAIN_MS = 400;
const DECIDED_AFTER_MS = [0, 1_500] as const;

/** One agent that calls the ledger, in a task that it starts anew when it must. */
export class LedgerCaller {
  readonly #place: Topology;
  readonly #ledger: GuardedLedger;
  readonly #history: History;
  readonly #random: SeededRandom;
  readonly #agent: ServiceAgent;
  #open: { readonly client: Client; readonly task: string } | undefined;
  #lines = 0;

  private constructor(at: {
    place: Topology;
    ledger: GuardedLedger;
    history: History;
    random: SeededRandom;
    agent: ServiceAgent;
  }) {
    this.#place = at.place;
    this.#ledger = at.ledger;
    this.#history = at.history;
    this.#random = at.random;
    this.#agent = at.agent;
  }

  static async register(place: Topology, ledger: GuardedLedger, history: History, random: SeededRandom) {
    const agent = await registerAgent(place.operator, place.issuer);
    return new LedgerCaller({ place, ledger, history, random, agent });
  }

  async callUntil(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      this.#lines += 1;
      const verdict = this.#random.isLucky(0.8) ? 'approve' : 'deny';
      await (this.#random.isLucky(0.5) ? this.#callHeld(verdict) : this.#callAgain(verdict)).catch(() => {
        this.#open = undefined;
      });
      await sleep(this.#random.between(50, 400));
    }
  }

  /** The call is held while a person decides. */
  async #callHeld(verdict: Verdict): Promise<void> {
    const { client, task } = await this.#connection();
    const line = this.#line();
    const decisions: Promise<unknown>[] = [];
    const onWaiting = (waiting: Waiting) => {
      this.#noteOpened(waiting, line, task);
      decisions.push(this.#decide(waiting, verdict));
    };
    const signal = AbortSignal.timeout(HELD_SECONDS_MAX * 1000);
    await this.#history.record({ kind: 'other', what: 'held call' }, async () => {
      await callWithApproval(client, { name: 'append', arguments: { line } }, { onWaiting, signal });
      return { asked: { kind: 'other', what: 'held call' }, outcome: 'acknowledged', value: undefined };
    });
    await Promise.all(decisions);
    await this.#callOnce(client, line);
  }

  /** The call is answered at once, decided, and made again; and once more, which must run nothing. */
  async #callAgain(verdict: Verdict): Promise<void> {
    const { client, task } = await this.#connection();
    const line = this.#line();
    const first = await this.#callOnce(client, line);
    if (first?.verdict?.kind !== 'waiting') return;
    this.#noteOpened(first.verdict, line, task);
    await this.#decide(first.verdict, verdict);
    await Promise.all([this.#callOnce(client, line), this.#callOnce(client, line)]);
    await this.#callOnce(client, line);
  }

  async #callOnce(client: Client, line: string): Promise<Answer | undefined> {
    const { value } = await this.#history.record({ kind: 'other', what: 'call' }, async () => {
      const answer = await call(client, 'append', line);
      if (answer.verdict?.kind === 'waiting') this.#noteOpened(answer.verdict, line, this.#open?.task ?? '');
      return { asked: { kind: 'other', what: 'call' }, outcome: 'acknowledged', value: answer };
    });
    return value;
  }

  async #decide({ stepUpId }: Waiting, verdict: Verdict): Promise<void> {
    await sleep(this.#random.between(...DECIDED_AFTER_MS));
    for (let attempt = 1; attempt <= TRIES_MAX; attempt += 1) {
      if ((await decideOn(this.#history, this.#place.operator, stepUpId, verdict)) !== 'unknown') return;
      await sleep(AGAIN_MS);
    }
  }

  /** The guard opened it, before it told the agent. */
  #noteOpened({ stepUpId }: Waiting, line: string, task: string): void {
    const now = performance.now();
    const asked = { kind: 'open_step_up', stepUp: stepUpId, action: line, task } as const;
    this.#history.operations.push({ ...asked, start: now, end: now, outcome: 'acknowledged' });
  }

  async #connection() {
    if (this.#open === undefined) {
      const { taskId: task } = await this.#ledger.startTask(this.#agent);
      const client = await this.#ledger.connect(this.#agent, task);
      this.#open = { client, task };
    }
    return this.#open;
  }

  #line(): string {
    return `line ${this.#lines}`;
  }
}
