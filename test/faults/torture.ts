import { checkHistory, type Evidence, type Violation } from './check_history.ts';
import { FAULTS_OF_SERVERS, FAULTS_OF_STORES, type Inflicted, inflictFaults } from './fault_plan.ts';
import { GuardedLedger } from './guarded_ledger.ts';
import { History } from './history.ts';
import { readEvents } from './logged_events.ts';
import { RecordedAgent, RecordedGuard } from './recorded_clients.ts';
import { SeededRandom } from './seeded_random.ts';
import { type Cast, tellStories } from './stories.ts';
import { LedgerCaller } from './tool_calls.ts';
import type { Topology } from './topology.ts';

const CASTS = 12;
const GUARDS = 2;
const LEDGER_CALLERS = 2;
const PAUSE_OF_SERVERS_MS = [3_000, 7_000] as const;
const PAUSE_OF_STORES_MS = [2_000, 6_000] as const;

/** A randomized run: many clients work, servers and stores fail, and what came of it is checked. */
export class Torture {
  readonly history = new History();
  readonly inflicted: Inflicted[] = [];
  readonly #place: Topology;
  readonly #seed: number;
  readonly #casts: Cast[] = [];
  readonly #callers: LedgerCaller[] = [];
  readonly #guards: RecordedGuard[] = [];
  #ledger!: GuardedLedger;

  private constructor(place: Topology, seed: number) {
    this.#place = place;
    this.#seed = seed;
  }

  /** Everybody registered, nothing broken yet. */
  static async prepare(place: Topology, seed: number): Promise<Torture> {
    const torture = new Torture(place, seed);
    const { history } = torture;
    for (let index = 0; index < GUARDS; index += 1) {
      torture.#guards.push(await RecordedGuard.open(place.operator, place.issuer, `notes-${index}`, history));
    }
    for (let index = 0; index < CASTS; index += 1) {
      const name = `cast ${index}`;
      torture.#casts.push({
        ...{ history, name, person: place.operator, task: undefined, actions: 0 },
        random: new SeededRandom(seed, name),
        agent: await RecordedAgent.register(place.operator, place.issuer, name, history),
        guard: torture.#guards[index % GUARDS]!,
      });
    }
    torture.#ledger = await GuardedLedger.open(place);
    for (let index = 0; index < LEDGER_CALLERS; index += 1) {
      const random = new SeededRandom(seed, `caller ${index}`);
      torture.#callers.push(await LedgerCaller.register(place, torture.#ledger, history, random));
    }
    return torture;
  }

  /** Works under faults until `isOver`; then every fault ends and everything is ready again. */
  async runPhase(phase: number, isOver: () => boolean): Promise<void> {
    const faults = (name: string) => new SeededRandom(this.#seed, `${name} in phase ${phase}`);
    const told = this.inflicted;
    const inflicting = [
      inflictFaults(
        this.#place,
        faults('servers'),
        { faults: FAULTS_OF_SERVERS, pauseMs: PAUSE_OF_SERVERS_MS, told },
        isOver,
      ),
      inflictFaults(
        this.#place,
        faults('stores'),
        { faults: FAULTS_OF_STORES, pauseMs: PAUSE_OF_STORES_MS, told },
        isOver,
      ),
    ];
    const working = [
      ...this.#casts.map((cast) => tellStories(cast, isOver)),
      ...this.#callers.map((caller) => caller.callUntil(isOver)),
    ];
    await Promise.all(inflicting);
    await this.#place.heal();
    await Promise.all(working);
  }

  /** What is wrong, by all that is known. The export is verified on the way. */
  async check(): Promise<{ readonly violations: Violation[]; readonly evidence: Evidence }> {
    const evidence = {
      history: this.history.operations,
      events: readEvents(await this.#place.audit()),
      runs: this.#ledger.runs(),
    };
    return { violations: checkHistory(evidence), evidence };
  }

  /** How often the tool behind the gateway ran, by line. */
  runs(): ReadonlyMap<string, number> {
    return this.#ledger.runs();
  }

  async close(): Promise<void> {
    await this.#ledger?.close();
    for (const guard of this.#guards) await guard.close();
  }
}
