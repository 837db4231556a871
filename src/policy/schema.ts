import type { SchemaJson, TypeOfAttribute } from '@cedar-policy/cedar-wasm/nodejs';
import type { JsonObject } from '../kernel/json.ts';
import { jsonPointer } from '../kernel/json_pointer.ts';
import type { Result } from '../kernel/result.ts';
import type { RiskClass, ToolDefinition } from '../wire/manifest.ts';
import { type ArgumentType, opaque, type RecordType, recordType, typeFingerprint } from './argument_type.ts';
import { SCHEMA_ATTRIBUTES_MAX } from './limits.ts';
import { type ArgumentProblem, type CedarRecord, projectOnto } from './project_arguments.ts';

/** A tool server as its owner accepted it: the pinned tools and the class that the owner, and nobody else, gave each. */
export interface ServerManifest {
  readonly name: string;
  readonly tools: readonly { readonly definition: ToolDefinition; readonly risk: RiskClass }[];
}

/** An argument that no policy of this server can see. */
export interface OpaqueArgument {
  readonly tool: string;
  readonly pointer: string;
  readonly why: string;
}

export interface ServerSchema {
  readonly schema: SchemaJson<string>;
  readonly opaque: readonly OpaqueArgument[];
  /** The arguments of every tool as policies see them: an example value can be made from these. */
  readonly inputs: ReadonlyMap<string, RecordType>;
  projectArguments(tool: string, args: JsonObject): Result<CedarRecord, ArgumentProblem>;
}

const EMPTY: RecordType = { kind: 'record', attributes: new Map() };

/**
 * The Cedar schema of one tool server. `context.input` is the union of the arguments of its tools, each optional, so that
 * a policy must say `context.input has x` and cannot misspell x unnoticed.
 */
export function generateSchema(server: ServerManifest): ServerSchema {
  const inputs = withoutConflicts(server);
  const union = new Map([...inputs.values()].flatMap((input) => [...input.attributes]));
  return {
    schema: cedarSchema({ kind: 'record', attributes: union }),
    opaque: [...inputs].flatMap(([tool, input]) => opaqueArguments(tool, input, [])),
    inputs,
    projectArguments: (tool, args) => projectOnto(inputs.get(tool) ?? EMPTY, args),
  };
}

function withoutConflicts(server: ServerManifest): Map<string, RecordType> {
  const read = new Map<string, RecordType>();
  for (const { definition } of server.tools) {
    const root = definition.inputSchema;
    const type = recordType(root.properties === undefined ? { ...root, properties: {} } : root, root, 0);
    read.set(definition.name, type.kind === 'record' ? type : EMPTY);
  }
  const fingerprints = new Map<string, Set<string>>();
  for (const [name, type] of [...read.values()].flatMap((input) => [...input.attributes])) {
    if (type.kind === 'opaque') continue;
    fingerprints.set(name, (fingerprints.get(name) ?? new Set()).add(typeFingerprint(type)));
  }
  const visible = new Set([...fingerprints.keys()].slice(0, SCHEMA_ATTRIBUTES_MAX));
  const settle = (name: string, type: ArgumentType): ArgumentType => {
    if (type.kind === 'opaque') return type;
    if (!visible.has(name)) return opaque(`the server declares more than ${SCHEMA_ATTRIBUTES_MAX} arguments`);
    return fingerprints.get(name)!.size === 1 ? type : opaque('tools of this server declare it with different types');
  };
  return new Map(
    [...read].map(([tool, input]) => [
      tool,
      { ...input, attributes: new Map([...input.attributes].map(([name, type]) => [name, settle(name, type)])) },
    ]),
  );
}

function opaqueArguments(tool: string, record: RecordType, path: readonly string[]): OpaqueArgument[] {
  return [...record.attributes].flatMap(([name, type]) => {
    const at = [...path, name];
    if (type.kind === 'record') return opaqueArguments(tool, type, at);
    return type.kind === 'opaque' ? [{ tool, pointer: jsonPointer(at), why: type.why }] : [];
  });
}

type Attribute = TypeOfAttribute<string>;
const STRING = { type: 'String' } as const;
const LONG = { type: 'Long' } as const;
const BOOLEAN = { type: 'Boolean' } as const;

function entity(name: string): Attribute {
  return { type: 'Entity', name };
}

function setOf(element: Attribute): Attribute {
  return { type: 'Set', element };
}

function record(attributes: Record<string, Attribute>): Attribute & { type: 'Record' } {
  return { type: 'Record', attributes };
}

function cedarSchema(input: RecordType): SchemaJson<string> {
  const who = { requester: entity('Person'), amr: setOf(STRING) };
  const within = { ...who, task: entity('Task'), chain: setOf(entity('Agent')) };
  const during = { ...within, approvals: setOf(STRING) };
  const handedOn = { server: entity('ToolServer'), tools: setOf(entity('Tool')), risks: setOf(STRING), depth: LONG };
  const applies = (principal: string, resource: string, context: Record<string, Attribute>) => ({
    appliesTo: { principalTypes: [principal], resourceTypes: [resource], context: record(context) },
  });
  return {
    '': {
      entityTypes: {
        Group: {},
        Person: { memberOfTypes: ['Group'], shape: record({ is_administrator: BOOLEAN }) },
        Agent: { shape: record({ name: STRING, kind: STRING, trust_zone: STRING, owner: entity('Person') }) },
        ToolServer: { shape: record({ name: STRING }) },
        Tool: { memberOfTypes: ['ToolServer'], shape: record({ name: STRING, risk: STRING }) },
        Task: {
          shape: record({
            purpose_code: STRING,
            requester: entity('Person'),
            tools: setOf(entity('Tool')),
            servers: setOf(entity('ToolServer')),
            depth: LONG,
          }),
        },
      },
      actions: {
        call: applies('Agent', 'Tool', { ...during, input: cedarType(input) }),
        read: applies('Agent', 'ToolServer', { ...during, input: record({}), uri: STRING }),
        prompt: applies('Agent', 'ToolServer', { ...during, input: record({}), name: STRING }),
        delegate: applies('Agent', 'Agent', { ...within, ...handedOn }),
        start_task: applies('Agent', 'ToolServer', { ...who, purpose_code: STRING, tools: setOf(entity('Tool')) }),
        approve: applies('Person', 'Tool', { ...who, task: entity('Task') }),
      },
    },
  };
}

function cedarType(type: ArgumentType): Attribute {
  switch (type.kind) {
    case 'string':
      return STRING;
    case 'long':
      return LONG;
    case 'boolean':
      return BOOLEAN;
    case 'decimal':
      return { type: 'Extension', name: 'decimal' };
    case 'set':
      return setOf(cedarType(type.element));
    case 'record': {
      const visible = [...type.attributes].filter(([, member]) => member.kind !== 'opaque');
      return record(Object.fromEntries(visible.map(([name, member]) => [name, optional(cedarType(member))])));
    }
    case 'opaque':
      throw new TypeError('An opaque argument has no Cedar type.');
  }
}

function optional(type: Attribute): Attribute {
  return { ...type, required: false };
}
