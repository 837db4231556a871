import type { CedarValueJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { ArgumentType, RecordType } from './argument_type.ts';
import { type CallRequest, cedarQuestion } from './call_request.ts';
import { delegateQuestion } from './delegate_request.ts';
import type { EvaluableSets, Evaluation, PolicyEngine } from './engine.ts';
import type { CedarRecord } from './project_arguments.ts';
import type { ServerManifest } from './schema.ts';

interface Trial {
  readonly server: ServerManifest;
  readonly sets: EvaluableSets;
  readonly inputs: ReadonlyMap<string, RecordType>;
}

export interface SmokeFailure {
  /** What was tried, in words. */
  readonly what: string;
  readonly message: string;
  /** The policies that failed, when Cedar could still say so. */
  readonly policies: readonly string[];
}

const UNKNOWN_TOOL = 'countersign-unknown-tool';

/**
 * Evaluates each tool with every argument, one tool that does not exist, a resource, a prompt and a delegation. Validation does not find
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
    // Every further failure could cost another instance; the first says enough.
    const failure = failureOf(engine.evaluate(sets, 'full', question), `call of "${request.target}"`);
    if (failure !== undefined) return [failure];
  }
  const delegation = failureOf(engine.evaluate(sets, 'full', trialDelegation(server)), 'delegation');
  return delegation === undefined ? [] : [delegation];
}

function failureOf(result: Evaluation, what: string): SmokeFailure | undefined {
  if (result.kind === 'allowed' || result.kind === 'not_allowed') return undefined;
  return { what, message: result.message, policies: result.kind === 'failed' ? result.determining : [] };
}

const PERSON = { id: 'trial', groups: [], is_administrator: false };
const AGENT = { id: 'trial', name: 'trial', kind: 'service', trust_zone: '', owner: PERSON } as const;

function trialDelegation({ name: server, tools }: ServerManifest) {
  const names = tools.map(({ definition }) => definition.name);
  return delegateQuestion({
    server,
    from: AGENT,
    to: { ...AGENT, id: 'trial-peer' },
    requester: PERSON,
    task: { id: 'trial', purpose_code: '', depth: 0, tools: names },
    tools: tools.map(({ definition, risk }) => ({ name: definition.name, risk })),
    chain: [AGENT.id],
    amr: [],
  });
}

function trialRequest(server: string, action: CallRequest['action'], target: string): CallRequest {
  return {
    action,
    server,
    target,
    arguments: {},
    agent: AGENT,
    chain: [AGENT.id],
    requester: PERSON,
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
