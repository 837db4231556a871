import { jsonPointer } from '../kernel/json_pointer.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { CompiledPolicy } from './compiled_policy.ts';
import { type EvaluableSets, PolicyEngine } from './engine.ts';
import { combineReads } from './expression.ts';
import { cedarProblem, type LoadedPolicy, type PolicySet } from './policy_set.ts';
import type { PolicyProblem } from './problem.ts';
import { generateSchema, type OpaqueArgument, type ServerManifest } from './schema.ts';
import { type SmokeFailure, smokeTest } from './smoke_evaluation.ts';

/**
 * Checks a set against the tools of one server, strictly, and tries it out in an instance that is then thrown away.
 * Takes 100 ms and more: for activation and start-up, not for a call. Policies whose scope names another server are left out.
 */
export function compilePolicy(
  set: PolicySet,
  server: ServerManifest,
): Result<CompiledPolicy, readonly PolicyProblem[]> {
  // Tool ids are `<server>/<tool>`; a slash in the first half would let one server's tools pass for another's.
  if (!/^[^/]+$/.test(server.name)) {
    const message = `The tool server is named "${server.name}".`;
    return refused([{ path: 'tool server', line: 0, message, instead: 'Use a name without a slash.' }]);
  }
  const policies = set.policies.filter((policy) => policy.server === undefined || policy.server === server.name);
  const { schema, opaque, inputs, projectArguments } = generateSchema(server);
  const text = (chosen: readonly LoadedPolicy[]) => Object.fromEntries(chosen.map(({ id, text }) => [id, text]));
  const sets = { schema, full: text(policies), base: text(policies.filter(({ gate }) => gate === undefined)) };
  const trialEngine = new PolicyEngine();
  const checked = validate(trialEngine, policies, sets);
  if (!checked.ok) return checked;
  const blind = policies.flatMap((policy) => unseenArguments(policy, opaque));
  if (blind.length > 0) return refused(blind);
  const compiled: CompiledPolicy = {
    version: set.version,
    server: server.name,
    tools: new Map(server.tools.map((tool) => [tool.definition.name, tool])),
    sets,
    gates: new Map(policies.flatMap(({ id, gate }) => (gate === undefined ? [] : [[id, gate] as const]))),
    reasons: new Map(policies.flatMap(({ id, reason }) => (reason === undefined ? [] : [[id, reason] as const]))),
    reads: combineReads(policies.map(({ reads }) => reads)),
    opaque,
    warnings: [...checked.value, ...unlistedTools(policies, server)],
    projectArguments,
  };
  const failures = smokeTest(trialEngine, { server, sets, inputs });
  if (failures.length === 0) return accepted(compiled);
  return refused(failures.map((failure) => smokeProblem(policies, failure)));
}

function validate(
  engine: PolicyEngine,
  policies: readonly LoadedPolicy[],
  sets: EvaluableSets,
): Result<readonly PolicyProblem[], readonly PolicyProblem[]> {
  const byId = new Map(policies.map((policy) => [policy.id, policy]));
  // The text as its author wrote it, so that places are right; the gate's name is a string like the placeholder.
  const written = Object.fromEntries(policies.map(({ id, source }) => [id, source.text]));
  const whole = (message: string): PolicyProblem => {
    const { path = 'policies' } = policies[0]?.source ?? {};
    return { path, line: 0, message, instead: 'Look for the newest change to the policies or to the tools.' };
  };
  const answer = engine.validate(sets.schema, written);
  if (answer.type === 'failure') return refused(answer.errors.map(({ message }) => whole(message)));
  const problem = ({ policyId, error }: (typeof answer.validationErrors)[number]) =>
    cedarProblem(byId.get(policyId)!.source, error, policyId);
  if (answer.validationErrors.length > 0) return refused(answer.validationErrors.map(problem));
  return accepted(answer.validationWarnings.map(problem));
}

/**
 * A condition on an argument that has no Cedar type is never true, so that a forbid or a gate would be silently lifted,
 * for every tool of the server, by one more tool that declares the same name with another type.
 */
function unseenArguments({ id, source, reads }: LoadedPolicy, opaque: readonly OpaqueArgument[]): PolicyProblem[] {
  // Where it is not clear what a policy reads, it may read any of them.
  const names = reads.input === 'all' ? opaque.map(({ pointer }) => pointer.split('/')[1] ?? '') : [...reads.input];
  return [...new Set(names)].flatMap((name) => {
    const pointer = jsonPointer([name]);
    const found = opaque.find((argument) => argument.pointer === pointer || argument.pointer.startsWith(`${pointer}/`));
    if (found === undefined) return [];
    return {
      path: source.path,
      line: source.line,
      policy_id: id,
      message: `It asks for the argument "${name}", of which policies of this server cannot see ${found.pointer}: in the tool "${found.tool}", ${found.why}.`,
      instead: 'Let the scope of the policy leave this server out, or decide by the tool instead of its argument.',
    };
  });
}

/** A misspelt tool in a gate would leave the real one ungated. */
function unlistedTools(policies: readonly LoadedPolicy[], server: ServerManifest): PolicyProblem[] {
  const prefix = `${server.name}/`;
  const listed = new Set(server.tools.map(({ definition }) => prefix + definition.name));
  return policies.flatMap(({ id, source, tools }) =>
    tools
      .filter((tool) => tool.startsWith(prefix) && !listed.has(tool))
      .map((tool) => ({
        path: source.path,
        line: source.line,
        policy_id: id,
        message: `Tool::"${tool}" is not a tool this server lists.`,
        instead: 'Compare it with the tool list; a misspelt tool is not protected.',
      })),
  );
}

function smokeProblem(policies: readonly LoadedPolicy[], failure: SmokeFailure): PolicyProblem {
  const culprit = policies.find(({ id }) => failure.policies.includes(id));
  return {
    path: culprit?.source.path ?? policies[0]?.source.path ?? 'policies',
    line: culprit?.source.line ?? 0,
    ...(culprit === undefined ? {} : { policy_id: culprit.id }),
    message: `A trial ${failure.what} could not be evaluated: ${failure.message}.`,
    instead: 'Guard optional arguments with `context.input has …` and keep conditions short.',
  };
}
