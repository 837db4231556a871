import type { PinnedPolicy, PolicyBook } from '../agents/policy_book.ts';
import { lockLineage } from '../approvals/ancestors.ts';
import type { Lineage } from '../approvals/lineage.ts';
import { accepted, type Result } from '../kernel/result.ts';
import { decideDelegation } from '../policy/decide_delegation.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import type { AccessTokenClaims } from '../wire/claims.ts';
import type { ToolConstraint } from '../wire/constraints.ts';
import type { Refusal } from '../wire/refusals.ts';
import { findTakerOwner, type HopFacts, loadHop } from './delegation_facts.ts';
import { type DelegationRefusal, refuseDelegation } from './delegation_refusal.ts';
import { type DelegationContent, judgeHop, judgeLength, narrowTo, type Target } from './judge_delegation.ts';
import { keepDelegation } from './keep_delegation.ts';
import { DELEGATE_ROUNDS_MAX } from './limits.ts';
import { type CallChain, loadCallChain } from './principal.ts';

/** A tool server that work is handed on for, by its canonical resource. */
export interface AskedResource {
  readonly resource: string;
  /** Left out: all that the one who hands on has there. */
  readonly tools?: readonly string[] | undefined;
  readonly constraints?: readonly ToolConstraint[] | undefined;
}

export interface Delegate {
  /** The claims of the token whose work is handed on: verified, and not those of an elevated token. */
  readonly subject: AccessTokenClaims;
  /** The agent that takes the work. The agent of the token itself narrows for itself. */
  readonly takerId: string;
  /** The first is the one that the token is for. */
  readonly resources: readonly AskedResource[];
  /** How long it lasts at most; it never outlasts what it descends from. */
  readonly seconds?: number | undefined;
  /** The agent that asks: the one that hands on, or the one that takes. */
  readonly byAgentId: string;
}

/** What was handed on for one tool server. */
export interface HandedOn {
  readonly resource: string;
  readonly tools: readonly string[];
  /** Those of the hops above included. */
  readonly constraints: readonly ToolConstraint[];
}

export interface Delegated {
  readonly delegationId: string;
  /** False where the same work was handed to the same agent before, and that delegation lives. */
  readonly isNew: boolean;
  /** In the order in which it was asked for. */
  readonly handedOn: readonly [HandedOn, ...HandedOn[]];
}

/**
 * Hands the work of a token on: a delegation below that of the token, never wider than it (invariant 5). Refused unless both
 * agents approved each other, every agent of the chain allows one more hop, none is in it twice, and policy permits it for
 * every tool server that is named. The ancestors are locked while it is made, so that it dies with any of them. The same
 * request makes the same delegation for as long as that lives: binding digests and grants go on to hold.
 */
export async function delegate(
  store: Store,
  book: PolicyBook,
  input: Delegate,
): Promise<Result<Delegated, DelegationRefusal>> {
  for (let round = 1; ; round += 1) {
    const made = await delegateOnce(store, book, input);
    const isWorthAnother = !made.ok && made.refusal.reason === 'ownership_changed' && round < DELEGATE_ROUNDS_MAX;
    if (!isWorthAnother) return made;
  }
}

interface Prepared {
  readonly input: Delegate;
  readonly chain: CallChain;
  readonly isHop: boolean;
  /** As the chain is with the taker in it. */
  readonly lineage: Lineage;
  readonly targets: readonly Target[];
  /** In the order of the targets: compiled before, so that the transaction never waits for a second connection. */
  readonly policies: readonly Result<PinnedPolicy, Refusal>[];
}

async function delegateOnce(
  store: Store,
  book: PolicyBook,
  input: Delegate,
): Promise<Result<Delegated, DelegationRefusal>> {
  const prepared = await prepare(store, book, input);
  if (!prepared.ok) return prepared;
  return transactRepeatably(store, async (tx, afterCommit) => {
    const { chain, isHop, lineage, targets } = prepared.value;
    const alive = await lockLineage(tx, lineage);
    if (!alive.ok) return subjectRefused(alive.refusal);
    // Read under the locks: what the records say now is what the delegation is made by.
    const hop = isHop ? await loadHop(tx, chain, input.takerId) : undefined;
    const length = judgeLength(chain);
    if (!length.ok) return length;
    const judged = hop === undefined ? length : judgeHop(chain, hop);
    if (!judged.ok) return judged;
    const content = narrowTo(chain, targets, hop?.taker.bound ?? null);
    if (!content.ok) return content;
    const policies = hop === undefined ? accepted([]) : permitHop(book, prepared.value, hop, content.value);
    if (!policies.ok) return policies;
    return insertOrFind(store, tx, afterCommit, prepared.value, {
      content: content.value,
      policies: policies.value,
      version: book.set.version,
    });
  });
}

async function prepare(store: Store, book: PolicyBook, input: Delegate): Promise<Result<Prepared, DelegationRefusal>> {
  const found = await loadCallChain(store, input.subject);
  if (!found.ok) return subjectRefused(found.refusal);
  const chain = found.value;
  const targets = await findTargets(store, input.resources);
  if (!targets.ok) return targets;
  const isHop = input.takerId !== chain.agent.id;
  const ownerId = isHop ? await findTakerOwner(store.db, input.takerId) : undefined;
  if (isHop && ownerId === undefined) {
    return refuseDelegation(
      'taker_inactive',
      'The agent that would take the work is not active, or has no owner who is.',
    );
  }
  const { lineage } = chain;
  return accepted({
    input,
    chain,
    isHop,
    lineage:
      ownerId === undefined
        ? lineage
        : {
            ...lineage,
            agent_ids: [...new Set([...lineage.agent_ids, input.takerId])],
            owner_ids: lineage.agent_ids.includes(input.takerId) ? lineage.owner_ids : [...lineage.owner_ids, ownerId],
          },
    targets: targets.value,
    policies: isHop ? await Promise.all(targets.value.map(({ server }) => book.compiledFor(store, server))) : [],
  });
}

async function findTargets(
  { db }: Store,
  asked: readonly AskedResource[],
): Promise<Result<readonly Target[], DelegationRefusal>> {
  const servers = await db
    .selectFrom('tool_servers')
    .select(['id', 'name', 'resource'])
    .where(
      'resource',
      'in',
      asked.map(({ resource }) => resource),
    )
    .where('state', '=', 'active')
    .execute();
  const targets: Target[] = [];
  for (const { resource, ...part } of asked) {
    const server = servers.find((one) => one.resource === resource);
    if (server === undefined) {
      return refuseDelegation('resource_unknown', `No active tool server has the resource ${resource}.`);
    }
    targets.push({ server, resource, ...part });
  }
  return accepted(targets);
}

/** Every tool server is asked about by itself, with the tools of it that are handed on; all must permit. */
function permitHop(
  book: PolicyBook,
  { chain, targets, policies }: Prepared,
  { taker }: HopFacts,
  content: DelegationContent,
): Result<readonly string[], DelegationRefusal> {
  const named = new Set<string>();
  for (const [index, { server }] of targets.entries()) {
    const policy = policies[index];
    if (!policy?.ok) {
      return refuseDelegation('policy_unavailable', policy?.refusal.message ?? 'The policy could not be evaluated.');
    }
    const decision = decideDelegation(book.engine, policy.value.compiled, {
      server: server.name,
      from: { ...chain.agent, owner: chain.owner },
      to: taker,
      requester: chain.requester,
      task: {
        id: chain.task.id,
        purpose_code: chain.task.is_purpose_chosen ? chain.task.purpose_code : '',
        depth: chain.task.depth,
        tools: chain.task.tools[server.id] ?? [],
      },
      tools: content.tools[server.id] ?? [],
      chain: chain.lineage.agent_ids,
      amr: chain.amr,
    });
    if (decision.kind === 'deny') {
      const reason = decision.code === 'policy_unavailable' ? 'policy_unavailable' : 'policy_denied';
      return refuseDelegation(reason, decision.message);
    }
    for (const id of decision.determining) named.add(id);
  }
  return accepted([...named].sort());
}

interface Decided {
  readonly content: DelegationContent;
  readonly policies: readonly string[];
  readonly version: string;
}

async function insertOrFind(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  { input, chain, isHop, targets }: Prepared,
  { content, policies, version }: Decided,
): Promise<Result<Delegated, DelegationRefusal>> {
  const kept = await keepDelegation(store, tx, afterCommit, {
    chain,
    agentId: input.takerId,
    isHop,
    content,
    seconds: input.seconds,
    event: {
      tool_server: targets[0]!.server.id,
      token: input.subject.jti,
      by: input.byAgentId,
      by_kind: 'agent',
      policy_version: isHop ? version : null,
      policies: isHop ? policies : [],
    },
  });
  if (!kept.ok) return kept;
  const [first, ...onward] = targets.map((target) => handedOn(target, content));
  return accepted({ ...kept.value, handedOn: [first!, ...onward] });
}

function handedOn({ server, resource }: Target, { tools, constraints }: DelegationContent): HandedOn {
  return {
    resource,
    tools: tools[server.id] ?? [],
    constraints: constraints
      .filter(({ tool_server_id }) => tool_server_id === server.id)
      .map(({ tool_server_id: _, ...constraint }) => constraint),
  };
}

function subjectRefused({ code, message }: Refusal) {
  return refuseDelegation(code === 'conflict' ? 'ownership_changed' : 'subject_ended', message);
}
