import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs';

/** What the loader must know of the conditions of a policy, read from Cedar's own parse of it. */
export interface ExpressionFacts {
  /** Nested operators; Cedar's evaluator goes down one frame for each. */
  readonly depth: number;
  readonly approvalUses: number;
  /** `context` as a whole: it could carry the approvals past every check. */
  readonly wholeContextUses: number;
  readonly entities: readonly { readonly type: string; readonly id: string }[];
  readonly reads: Reads;
}

/**
 * What conditions can tell apart. The rest of a request need not be handed to Cedar, which parses all of it on every
 * call: 14 tools of a task and 64 KiB of file content cost more than the decision.
 */
export interface Reads {
  /** Arguments named anywhere, or all, when `context.input` is used as a whole. */
  readonly input: ReadonlySet<string> | 'all';
  /** Whether tools of a task are only asked for as `….tools.contains(resource)`. */
  readonly tools: 'requested' | 'all';
}

export function combineReads(all: readonly Reads[]): Reads {
  const input = new Set<string>();
  for (const reads of all) {
    if (reads.input === 'all') return { input: 'all', tools: combinedTools(all) };
    for (const name of reads.input) input.add(name);
  }
  return { input, tools: combinedTools(all) };
}

function combinedTools(all: readonly Reads[]): Reads['tools'] {
  return all.every(({ tools }) => tools === 'requested') ? 'requested' : 'all';
}

/** Reads scope and conditions. The JSON form has two levels for each operator. */
export function readExpressions(policy: PolicyJson): ExpressionFacts {
  const facts = new FactsFound();
  for (const scope of [policy.principal, policy.action, policy.resource]) facts.visit(scope, 0);
  for (const clause of policy.conditions) facts.visit(clause.body, 0);
  const { approvalUses, wholeContextUses, entities } = facts;
  const input = facts.isWholeInputRead ? 'all' : facts.inputNames;
  const tools = facts.areAllToolsRead ? 'all' : 'requested';
  return { approvalUses, wholeContextUses, entities, depth: Math.ceil(facts.deepest / 2), reads: { input, tools } };
}

class FactsFound {
  approvalUses = 0;
  wholeContextUses = 0;
  isWholeInputRead = false;
  areAllToolsRead = false;
  deepest = 0;
  readonly inputNames = new Set<string>();
  readonly entities: { type: string; id: string }[] = [];

  visit(value: unknown, depth: number): void {
    if (typeof value !== 'object' || value === null) return;
    this.deepest = Math.max(this.deepest, depth);
    const node = value as ExpressionNode;
    const attribute = attributeOf(node);
    if (contextAttribute(node) !== undefined) {
      if (attribute === 'approvals') this.approvalUses += 1;
      if (attribute === 'input') this.isWholeInputRead = true;
      return;
    }
    if (attribute !== undefined && contextAttribute(targetOf(node)) === 'input') {
      this.inputNames.add(attribute);
      return;
    }
    if (node.Var === 'context') this.wholeContextUses += 1;
    const literal = node.__entity ?? node.entity;
    if (isEntity(literal)) this.entities.push(literal);
    if (Array.isArray(node.entities)) this.entities.push(...node.entities.filter(isEntity));
    if (this.#asksForRequestedTool(node)) {
      this.visit(targetOf(node.contains!.left!), depth + 3);
      return;
    }
    if (attribute === 'tools') this.areAllToolsRead = true;
    for (const child of Object.values(node)) this.visit(child, depth + 1);
  }

  #asksForRequestedTool(node: ExpressionNode): boolean {
    const { left, right } = node.contains ?? {};
    return left?.['.']?.attr === 'tools' && right?.Var === 'resource';
  }
}

/** The members of Cedar's JSON expressions that are looked at here. */
interface ExpressionNode {
  readonly Var?: unknown;
  readonly Value?: unknown;
  readonly __entity?: unknown;
  readonly entity?: unknown;
  readonly entities?: unknown;
  readonly '.'?: { readonly left?: ExpressionNode; readonly attr?: unknown };
  readonly has?: { readonly left?: ExpressionNode; readonly attr?: unknown };
  readonly contains?: { readonly left?: ExpressionNode; readonly right?: ExpressionNode };
}

/** The tool server that the scope of a policy is limited to, if it is: such a policy is not checked against others. */
export function scopedServer(policy: PolicyJson): string | undefined {
  const scope = policy.resource;
  if (!('entity' in scope)) {
    const within = scope.op === 'is' && scope.in !== undefined && 'entity' in scope.in ? scope.in.entity : undefined;
    return isEntity(within) ? serverOf(within) : undefined;
  }
  return isEntity(scope.entity) ? serverOf(scope.entity) : undefined;
}

/** The actions that the scope of a policy names; undefined when it names none and is about all of them. */
export function scopedActions({ action }: PolicyJson): readonly string[] | undefined {
  if (action.op === 'All') return undefined;
  const named: readonly unknown[] = 'entities' in action ? action.entities : 'entity' in action ? [action.entity] : [];
  return named.filter(isEntity).map(({ id }) => id);
}

/** Whether this clause is exactly `unless { context.approvals.contains("<name>") }`. */
export function isGateClause(clause: PolicyJson['conditions'][number], name: string): boolean {
  if (clause.kind !== 'unless' || !('contains' in clause.body)) return false;
  const { left, right } = (clause.body as ExpressionNode).contains ?? {};
  return left?.['.'] !== undefined && contextAttribute(left) === 'approvals' && right?.Value === name;
}

function serverOf(entity: { type: string; id: string }): string | undefined {
  if (entity.type === 'ToolServer') return entity.id;
  return entity.type === 'Tool' && entity.id.includes('/') ? entity.id.slice(0, entity.id.indexOf('/')) : undefined;
}

/** The attribute that a node reads or asks `has` for; of `has a.b` the first. */
function attributeOf(node: ExpressionNode): string | undefined {
  const attribute = (node['.'] ?? node.has)?.attr;
  const first: unknown = Array.isArray(attribute) ? attribute[0] : attribute;
  return typeof first === 'string' ? first : undefined;
}

function targetOf(node: ExpressionNode): ExpressionNode | undefined {
  return (node['.'] ?? node.has)?.left;
}

function contextAttribute(node: ExpressionNode | undefined): string | undefined {
  return node !== undefined && targetOf(node)?.Var === 'context' ? attributeOf(node) : undefined;
}

function isEntity(value: unknown): value is { type: string; id: string } {
  const entity = value as { type?: unknown; id?: unknown } | null | undefined;
  return typeof entity?.type === 'string' && typeof entity.id === 'string';
}
