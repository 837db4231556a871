import type { JsonObject } from '../kernel/json.ts';
import type { Result } from '../kernel/result.ts';
import type { EvaluableSets } from './engine.ts';
import type { Reads } from './expression.ts';
import type { PolicyProblem } from './problem.ts';
import type { ArgumentProblem, CedarRecord } from './project_arguments.ts';
import type { Gate } from './requirements.ts';
import type { OpaqueArgument, ServerManifest } from './schema.ts';

/** A policy set made ready for one tool server. */
export interface CompiledPolicy {
  readonly version: string;
  readonly server: string;
  /** By name. */
  readonly tools: ReadonlyMap<string, ServerManifest['tools'][number]>;
  readonly sets: EvaluableSets;
  /** By policy id. */
  readonly gates: ReadonlyMap<string, Gate>;
  /** What plain forbids say, by policy id. */
  readonly reasons: ReadonlyMap<string, string>;
  readonly reads: Reads;
  readonly opaque: readonly OpaqueArgument[];
  /** Allowed, but probably not meant: a policy that never applies, a tool that is not listed. */
  readonly warnings: readonly PolicyProblem[];
  projectArguments(tool: string, args: JsonObject): Result<CedarRecord, ArgumentProblem>;
}
