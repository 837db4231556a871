import type { SchemaJson, ValidationAnswer } from '@cedar-policy/cedar-wasm/nodejs';
import type { CedarQuestion } from './call_request.ts';
import { type Cedar, newCedarInstance } from './cedar_instance.ts';
import { ENGINE_SLOTS_MAX } from './limits.ts';

/** The two sets that the algorithm of design §6 asks: may it run now, and could it ever run. */
export interface EvaluableSets {
  readonly schema: SchemaJson<string>;
  readonly full: Readonly<Record<string, string>>;
  readonly base: Readonly<Record<string, string>>;
}

export type Evaluation =
  | { readonly kind: 'allowed'; readonly determining: readonly string[] }
  | { readonly kind: 'not_allowed'; readonly determining: readonly string[] }
  /** Policies that failed on this request. Cedar skips a failing forbid, so nothing it says may be believed. */
  | { readonly kind: 'failed'; readonly determining: readonly string[]; readonly message: string }
  | { readonly kind: 'unavailable'; readonly message: string };

/**
 * One Cedar instance with the sets of several tool servers parsed and kept. Cedar can replace what it keeps but not
 * remove it, so a fixed number of names goes round. Whatever throws costs the instance: after a trap in WebAssembly every
 * later answer would be a failure, too.
 */
export class PolicyEngine {
  #cedar: Cedar | undefined;
  /** Least recently used first; the number names the place inside Cedar. */
  readonly #slots = new Map<EvaluableSets, number>();
  readonly #slotsMax: number;
  #traps = 0;

  constructor(slotsMax = ENGINE_SLOTS_MAX) {
    this.#slotsMax = slotsMax;
  }

  /** How many instances were lost since the start. Anything but 0 deserves an alarm. */
  get traps(): number {
    return this.#traps;
  }

  evaluate(sets: EvaluableSets, which: 'full' | 'base', question: CedarQuestion): Evaluation {
    try {
      this.#cedar ??= newCedarInstance();
      const slot = this.#slotOf(sets, this.#cedar);
      const answer = this.#cedar.statefulIsAuthorized({
        ...question,
        validateRequest: true,
        preparsedSchemaName: `schema${slot}`,
        preparsedPolicySetId: `${which}${slot}`,
      });
      if (answer.type === 'failure') return { kind: 'unavailable', message: answer.errors[0]?.message ?? 'no reason' };
      const { decision, diagnostics } = answer.response;
      if (diagnostics.errors.length > 0) {
        const message = diagnostics.errors.map(({ policyId, error }) => `${policyId}: ${error.message}`).join('; ');
        return { kind: 'failed', determining: diagnostics.errors.map(({ policyId }) => policyId).sort(), message };
      }
      return { kind: decision === 'allow' ? 'allowed' : 'not_allowed', determining: [...diagnostics.reason].sort() };
    } catch (error) {
      return { kind: 'unavailable', message: this.#discardInstance(error) };
    }
  }

  /** Strict validation, which lets no policy through that could miss an attribute at run time. */
  validate(schema: SchemaJson<string>, policies: Readonly<Record<string, string>>): ValidationAnswer {
    try {
      this.#cedar ??= newCedarInstance();
      return this.#cedar.validate({ schema, policies: { staticPolicies: { ...policies } } });
    } catch (error) {
      const message = this.#discardInstance(error);
      return {
        type: 'failure',
        errors: [{ message, help: null, code: null, url: null, severity: null }],
        warnings: [],
      };
    }
  }

  #discardInstance(error: unknown): string {
    this.#traps += 1;
    this.#cedar = undefined;
    this.#slots.clear();
    return `Cedar broke: ${String(error)}`;
  }

  #slotOf(sets: EvaluableSets, cedar: Cedar): number {
    const known = this.#slots.get(sets);
    if (known !== undefined) {
      this.#slots.delete(sets);
      this.#slots.set(sets, known);
      return known;
    }
    const slot = this.#freeSlot();
    const answers = [
      cedar.preparseSchema(`schema${slot}`, sets.schema),
      cedar.preparsePolicySet(`full${slot}`, { staticPolicies: { ...sets.full } }),
      cedar.preparsePolicySet(`base${slot}`, { staticPolicies: { ...sets.base } }),
    ];
    for (const answer of answers) {
      if (answer.type === 'failure') throw new Error(answer.errors[0]?.message ?? 'no reason');
    }
    this.#slots.set(sets, slot);
    return slot;
  }

  #freeSlot(): number {
    if (this.#slots.size < this.#slotsMax) return this.#slots.size;
    const [oldest, slot] = this.#slots.entries().next().value!;
    this.#slots.delete(oldest);
    return slot;
  }
}
