import { accepted, type Result, refused } from '../kernel/result.ts';
import { compilePolicy } from '../policy/compile.ts';
import type { CompiledPolicy } from '../policy/compiled_policy.ts';
import { PolicyEngine } from '../policy/engine.ts';
import type { PolicySet } from '../policy/policy_set.ts';
import type { Store } from '../store/store.ts';
import { CHANNELS } from '../store/wake.ts';
import type { RiskClass, ToolDefinition } from '../wire/manifest.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { COMPILED_POLICY_MS_MAX } from './limits.ts';
import { listTools, type ToolServer } from './tool_servers.ts';

/** A compiled policy with what each accepted tool was accepted as. */
export interface PinnedPolicy {
  readonly compiled: CompiledPolicy;
  readonly pins: ReadonlyMap<string, { readonly digest: string; readonly risk: RiskClass }>;
}

interface Entry {
  readonly policy: Result<PinnedPolicy, Refusal>;
  readonly readAt: number;
  /** Of the accepted tools it was compiled for: compiling is repeated only when they differ. */
  readonly fingerprint: string;
}

/**
 * The active policy set compiled for each tool server's accepted tools. Compiling costs tens of milliseconds, so it is
 * kept until the tools change. A set that does not fit a server's tools denies every call there and says why in the log.
 */
export class PolicyBook {
  readonly set: PolicySet;
  readonly engine = new PolicyEngine();
  readonly #entries = new Map<string, Promise<Entry>>();
  readonly #subscribed = new Set<string>();
  /** Servers whose tools changed since they were read. */
  readonly #stale = new Set<string>();

  constructor(set: PolicySet) {
    this.set = set;
  }

  async compiledFor(store: Store, server: Pick<ToolServer, 'id' | 'name'>): Promise<Result<PinnedPolicy, Refusal>> {
    if (!this.#subscribed.has(server.id)) {
      this.#subscribed.add(server.id);
      // Without the wake-up, a change of its tools is found when the compiled policy is too old.
      await store.ephemeral
        .subscribe(CHANNELS.toolServer(server.id), () => this.#stale.add(server.id))
        .catch(() => this.#subscribed.delete(server.id));
    }
    const known = await this.#entries.get(server.id);
    const isFresh = known !== undefined && performance.now() - known.readAt < COMPILED_POLICY_MS_MAX;
    if (isFresh && !this.#stale.delete(server.id)) return known.policy;
    const fresh = this.#compile(store, server, known);
    this.#entries.set(server.id, fresh);
    fresh.catch(() => this.#entries.delete(server.id));
    return (await fresh).policy;
  }

  /** The tools of this server may have changed, and nobody said so: they are read again before the next decision. */
  lookAgain(serverId: string): void {
    this.#stale.add(serverId);
  }

  async #compile(store: Store, server: Pick<ToolServer, 'id' | 'name'>, before: Entry | undefined): Promise<Entry> {
    const readAt = performance.now();
    const tools = (await listTools(store, server.id)).filter((tool) => tool.state === 'accepted');
    const fingerprint = tools.map(({ name, digest, risk }) => `${name} ${digest} ${risk}`).join('\n');
    if (before?.fingerprint === fingerprint) return { ...before, readAt };
    const compiled = compilePolicy(this.set, {
      name: server.name,
      tools: tools.map((tool) => ({ definition: tool.definition as ToolDefinition, risk: tool.risk })),
    });
    const pins = new Map(tools.map(({ name, digest, risk }) => [name, { digest, risk }]));
    if (compiled.ok) return { policy: accepted({ compiled: compiled.value, pins }), readAt, fingerprint };
    store.log.error(
      { tool_server: server.name, problems: compiled.refusal },
      'the policy does not fit the tools of this server; its calls are denied',
    );
    return {
      policy: refused(
        refusal(
          'policy_unavailable',
          'The policy does not fit the tools of this server. Its operator finds the reasons in the log.',
        ),
      ),
      readAt,
      fingerprint,
    };
  }
}
