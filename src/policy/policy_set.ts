import type { DetailedError, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs';
import { canonicalJson } from '../kernel/canonical_json.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Cedar, newCedarInstance } from './cedar_instance.ts';
import { type ExpressionFacts, type Reads, readExpressions, scopedServer } from './expression.ts';
import { readGate, rewriteGate } from './gate.ts';
import type { Complaint } from './gate_terms.ts';
import {
  ANNOTATION_CHARACTERS_MAX,
  POLICIES_MAX,
  POLICY_EXPRESSION_DEPTH_MAX,
  POLICY_FILES_MAX,
  POLICY_ID_CHARACTERS_MAX,
  POLICY_SOURCE_BYTES_MAX,
} from './limits.ts';
import type { PolicyProblem } from './problem.ts';
import type { Gate } from './requirements.ts';
import { lineOfByte, type PolicyFile, type PolicySource, splitPolicies } from './source.ts';

export interface LoadedPolicy {
  readonly id: string;
  readonly source: PolicySource;
  /** What Cedar evaluates: the source, in a gate with the gate's own name in its condition. */
  readonly text: string;
  readonly gate?: Gate;
  /** What a plain forbid tells the agent. */
  readonly reason?: string;
  /** The only tool server this policy is about, when its scope says so. */
  readonly server?: string;
  /** Ids of tools written out in it, each `<server>/<tool>`. */
  readonly tools: readonly string[];
  readonly reads: Reads;
}

/** Policies of one organisation, read and checked without knowing any tool server. */
export interface PolicySet {
  /** Digest of the policies: comments, layout and file names do not change it. */
  readonly version: string;
  readonly policies: readonly LoadedPolicy[];
  readonly gates: ReadonlyMap<string, Gate>;
}

/** Reads a policy set, or says everything that is wrong with it. */
export function loadPolicySet(files: readonly PolicyFile[]): Result<PolicySet, readonly PolicyProblem[]> {
  const tooLarge = sizeProblem(files);
  if (tooLarge !== undefined) return refused([tooLarge]);
  const problems: PolicyProblem[] = [];
  const policies: LoadedPolicy[] = [];
  const cedar = newCedarInstance();
  for (const file of files) {
    const sources = splitPolicies(file);
    if (!sources.ok) problems.push(sources.refusal);
    for (const source of sources.ok ? sources.value : []) {
      const policy = readPolicy(cedar, source);
      if (!policy.ok) problems.push(...policy.refusal);
      else policies.push(policy.value);
    }
  }
  problems.push(...setProblems(files, policies));
  if (problems.length > 0) return refused(problems);
  const gates = policies.flatMap((policy) => (policy.gate === undefined ? [] : [policy.gate]));
  return accepted({
    version: versionOf(policies),
    policies,
    gates: new Map(gates.map((gate) => [gate.name, gate])),
  });
}

function readPolicy(cedar: Cedar, source: PolicySource): Result<LoadedPolicy, readonly PolicyProblem[]> {
  const parsed = parse(cedar, source);
  if (!parsed.ok) return refused([parsed.refusal]);
  const json = parsed.value;
  const annotations = json.annotations ?? {};
  const id = annotations.id ?? '';
  const problem = (complaint: Complaint): PolicyProblem => ({
    path: source.path,
    line: source.line,
    ...(id === '' ? {} : { policy_id: id }),
    ...complaint,
  });
  const facts = readExpressions(json);
  const complaints = [...idComplaints(annotations), ...shapeComplaints(annotations, facts)];
  const gate = readGate(id, json, facts);
  if (Array.isArray(gate)) complaints.push(...gate);
  if (complaints.length > 0) return refused(complaints.map(problem));
  const lifted = gate as Gate | undefined;
  const text = lifted === undefined ? source.text : rewriteGate(cedar, source, lifted.name);
  if (text === undefined) {
    const instead = 'Write it literally: unless { context.approvals.contains("gate") }.';
    return refused([problem({ message: 'The condition of this gate is written in an unusual way.', instead })]);
  }
  const server = scopedServer(json);
  return accepted({
    id,
    source,
    text,
    ...(lifted === undefined ? {} : { gate: lifted }),
    ...(annotations.reason === undefined ? {} : { reason: annotations.reason }),
    ...(server === undefined ? {} : { server }),
    tools: facts.entities.filter((entity) => entity.type === 'Tool').map((entity) => entity.id),
    reads: facts.reads,
  });
}

function parse(cedar: Cedar, source: PolicySource): Result<PolicyJson, PolicyProblem> {
  const at = { path: source.path, line: source.line };
  try {
    const answer = cedar.policyToJson(source.text);
    return answer.type === 'success' ? accepted(answer.json) : refused(cedarProblem(source, answer.errors[0]));
  } catch {
    const message = 'Cedar broke while reading this policy or one before it.';
    return refused({ ...at, message, instead: 'Write shorter conditions, in several policies.' });
  }
}

/** An error of Cedar, with its place counted in lines of the file. */
export function cedarProblem(source: PolicySource, error: DetailedError | undefined, id?: string): PolicyProblem {
  const byte = error?.sourceLocations?.[0]?.start;
  const message = (error?.message ?? 'Cedar refuses this policy without saying why.')
    .replace(/^failed to parse policy from string: /, '')
    .replace(/^for policy `[^`]*`, /, '');
  return {
    path: source.path,
    line: byte === undefined ? source.line : lineOfByte(source, byte),
    ...(id === undefined ? {} : { policy_id: id }),
    message: /[.!?]$/.test(message) ? message : `${message}.`,
    instead: error?.help ? `Cedar's advice: ${error.help}.` : 'Compare with the examples in config/policies.',
  };
}

function idComplaints(annotations: Readonly<Record<string, string>>): Complaint[] {
  const { id } = annotations;
  const instead = 'Write @id("what-this-policy-does") before it, with letters, digits, dots and dashes.';
  if (id === undefined) return [{ message: 'This policy has no @id, so no decision could name it.', instead }];
  const isName = id.length <= POLICY_ID_CHARACTERS_MAX && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(id);
  return isName ? [] : [{ message: `@id("${id}") is no usable name.`, instead }];
}

function shapeComplaints(annotations: Readonly<Record<string, string>>, facts: ExpressionFacts): Complaint[] {
  const complaints: Complaint[] = [];
  for (const [name, text] of Object.entries(annotations)) {
    if (text.length <= ANNOTATION_CHARACTERS_MAX) continue;
    const message = `@${name} has ${text.length} characters.`;
    complaints.push({ message, instead: `Say it in ${ANNOTATION_CHARACTERS_MAX}.` });
  }
  if (facts.depth > POLICY_EXPRESSION_DEPTH_MAX) {
    const message = `A condition is nested ${facts.depth} operators deep; Cedar breaks when it evaluates such chains.`;
    complaints.push({ message, instead: 'Write ["a", "b"].contains(x) instead of a long chain of ||.' });
  }
  if (facts.wholeContextUses > 0) {
    const message = 'This policy uses context as a whole.';
    complaints.push({ message, instead: 'Name the attribute: context.task, context.input.<argument> and so on.' });
  }
  for (const { id } of facts.entities.filter(({ type, id }) => type === 'Tool' && !id.includes('/'))) {
    const message = `Tool::"${id}" does not say of which server.`;
    complaints.push({ message, instead: `Write Tool::"<server>/${id}", or resource.name == "${id}" for any server.` });
  }
  return complaints;
}

function setProblems(files: readonly PolicyFile[], policies: readonly LoadedPolicy[]): PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  const first = new Map<string, PolicySource>();
  for (const { id, source } of policies) {
    const other = first.get(id);
    if (other === undefined) {
      first.set(id, source);
      continue;
    }
    const message = `The same @id stands at ${other.path}:${other.line}.`;
    problems.push({ path: source.path, line: source.line, policy_id: id, message, instead: 'Give each its own id.' });
  }
  if (policies.length > POLICIES_MAX) {
    const message = `The set holds ${policies.length} policies.`;
    problems.push({ path: files[0]!.path, line: 0, message, instead: `Keep it to ${POLICIES_MAX}.` });
  }
  return problems;
}

function sizeProblem(files: readonly PolicyFile[]): PolicyProblem | undefined {
  const whole = { path: files[0]?.path ?? 'policies', line: 0 };
  if (files.length === 0) {
    const instead = 'Add a file that ends in .cedar; config/policies/default.cedar is a start.';
    return { ...whole, message: 'There is no policy file, so nothing would be permitted.', instead };
  }
  if (files.length > POLICY_FILES_MAX) {
    return { ...whole, message: `There are ${files.length} files.`, instead: `Keep to ${POLICY_FILES_MAX}.` };
  }
  const bytes = files.reduce((sum, file) => sum + Buffer.byteLength(file.text), 0);
  if (bytes <= POLICY_SOURCE_BYTES_MAX) return undefined;
  return { ...whole, message: `The files hold ${bytes} bytes.`, instead: `Keep to ${POLICY_SOURCE_BYTES_MAX}.` };
}

function versionOf(policies: readonly LoadedPolicy[]): string {
  const content = policies.map(({ id, source }) => [id, source.tokens.map((token) => token.text).join(' ')]);
  content.sort(([a = ''], [b = '']) => (a < b ? -1 : 1));
  return sha256Base64url(canonicalJson(content));
}
