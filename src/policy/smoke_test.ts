import type { CedarValueJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { ArgumentType, RecordType } from './argument_type.ts';
import { type CallRequest, cedarQuestion } from './call_request.ts';
import type { CompiledPolicy } from './compiled_policy.ts';
import { PolicyEngine } from './engine.ts';
import type { CedarRecord } from './project_arguments.ts';

export interface SmokeFailure {
  readonly tool: string;
  readonly message: string;
  /** The policies that failed, when Cedar could still say so. */
  readonly policies: readonly string[];
}

const UNKNOWN_TOOL = 'countersign-unknown-tool';

/**
 * Evaluates each tool and one that does not exist, with every argument and with none, in an engine of its own. Validation
 * does not find a condition that breaks Cedar when it is evaluated; this does, before a real call meets it.
 */
export function smokeTest(policy: CompiledPolicy, inputs: ReadonlyMap<string, RecordType>): readonly SmokeFailure[] {
  const engine = new PolicyEngine();
  const failures: SmokeFailure[] = [];
  const attempt = (request: CallRequest, input: CedarRecord) => {
    const question = cedarQuestion(request, policy.tools.get(request.target) ?? 'critical', input);
    for (const which of ['full', 'base'] as const) {
      const result = engine.evaluate(policy.sets, which, question);
      if (result.kind === 'allowed' || result.kind === 'not_allowed') continue;
      const policies = result.kind === 'failed' ? result.determining : [];
      failures.push({ tool: request.target, message: result.message, policies });
    }
  };
  const tools = [...policy.tools.keys(), UNKNOWN_TOOL];
  for (const tool of tools) {
    const input = inputs.get(tool);
    attempt(trialRequest(policy.server, 'call', tool, tools), {});
    if (input !== undefined) attempt(trialRequest(policy.server, 'call', tool, tools), sampleRecord(input));
    // Each failure may cost an instance; the first few say enough.
    if (failures.length > 0) return failures;
  }
  attempt(trialRequest(policy.server, 'read', 'trial:resource', tools), {});
  attempt(trialRequest(policy.server, 'prompt', 'trial', tools), {});
  return failures;
}

function trialRequest(
  server: string,
  action: CallRequest['action'],
  target: string,
  tools: readonly string[],
): CallRequest {
  const person = { id: 'trial', groups: [], is_administrator: false };
  return {
    action,
    server,
    target,
    arguments: {},
    agent: { id: 'trial', name: 'trial', kind: 'service', owner: person },
    requester: person,
    task: { id: 'trial', purpose_code: '', tools, depth: 0 },
    approvals: [],
    amr: [],
  };
}

function sampleRecord(type: RecordType): CedarRecord {
  const visible = [...type.attributes].filter(([, member]) => member.kind !== 'opaque');
  return Object.fromEntries(visible.map(([name, member]) => [name, sample(member)]));
}

function sample(type: ArgumentType): CedarValueJson {
  switch (type.kind) {
    case 'string':
      return 'trial';
    case 'long':
      return 1;
    case 'boolean':
      return true;
    case 'decimal':
      return { __extn: { fn: 'decimal', arg: '1.0' } };
    case 'set':
      return [sample(type.element)];
    case 'record':
      return sampleRecord(type);
    case 'opaque':
      throw new TypeError('An opaque argument has no Cedar value.');
  }
}
