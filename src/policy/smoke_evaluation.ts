import type { CedarValueJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { ArgumentType, RecordType } from './argument_type.ts';
import { type CallRequest, cedarQuestion } from './call_request.ts';
import type { EvaluableSets, PolicyEngine } from './engine.ts';
import type { CedarRecord } from './project_arguments.ts';
import type { ServerManifest } from './schema.ts';

interface Trial {
  readonly server: ServerManifest;
  readonly sets: EvaluableSets;
  readonly inputs: ReadonlyMap<string, RecordType>;
}

export interface SmokeFailure {
  readonly tool: string;
  readonly message: string;
  /** The policies that failed, when Cedar could still say so. */
  readonly policies: readonly string[];
}

const UNKNOWN_TOOL = 'countersign-unknown-tool';

/**
 * Evaluates each tool with every argument, one tool that does not exist, a resource and a prompt. Validation does not find
 * a condition that breaks Cedar when it is evaluated; this does, before a real call meets it. The engine may be lost.
 * Only the full set is asked: Cedar evaluates policies one by one, and the base set holds no others.
 */
export function smokeTest(engine: PolicyEngine, { server, sets, inputs }: Trial): readonly SmokeFailure[] {
  const risks = new Map(server.tools.map(({ definition, risk }) => [definition.name, risk]));
  const requests = [
    ...[...risks.keys(), UNKNOWN_TOOL].map((tool) => trialRequest(server.name, 'call', tool)),
    trialRequest(server.name, 'read', 'trial:resource'),
    trialRequest(server.name, 'prompt', 'trial'),
  ];
  for (const request of requests) {
    const type = request.action === 'call' ? inputs.get(request.target) : undefined;
    const input = type === undefined ? {} : sampleRecord(type);
    const question = cedarQuestion(request, risks.get(request.target) ?? 'critical', input);
    const result = engine.evaluate(sets, 'full', question);
    if (result.kind === 'allowed' || result.kind === 'not_allowed') continue;
    // Every further failure could cost another instance; the first says enough.
    const policies = result.kind === 'failed' ? result.determining : [];
    return [{ tool: request.target, message: result.message, policies }];
  }
  return [];
}

function trialRequest(server: string, action: CallRequest['action'], target: string): CallRequest {
  const person = { id: 'trial', groups: [], is_administrator: false };
  return {
    action,
    server,
    target,
    arguments: {},
    agent: { id: 'trial', name: 'trial', kind: 'service', owner: person },
    requester: person,
    task: { id: 'trial', purpose_code: '', tools: [target], depth: 0 },
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
