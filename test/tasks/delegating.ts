import { PolicyBook } from '../../src/agents/policy_book.ts';
import { newSecret } from '../../src/kernel/ids.ts';
import { loadPolicySet } from '../../src/policy/policy_set.ts';
import { readPolicyFolder } from '../../src/policy/read_folder.ts';
import { findLiveDelegation } from '../../src/provider/live_task.ts';
import type { ToolSelection } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { type AskedResource, delegate } from '../../src/tasks/delegate.ts';
import { type CallChain, loadCallChain } from '../../src/tasks/principal.ts';
import { startTask } from '../../src/tasks/start.ts';
import type { AccessTokenClaims, Actor } from '../../src/wire/claims.ts';
import { addPeer, approvePeers, type Peer } from '../support/hops.ts';

export interface HandOn {
  readonly from: string;
  readonly takerId: string;
  readonly resources: readonly AskedResource[];
  readonly seconds?: number | undefined;
}

/** Delegations in a database, made by the use case as a verified token would make them. */
export class Delegating {
  readonly #store: Store;
  readonly #book: PolicyBook;

  constructor(store: Store, book: PolicyBook) {
    this.#store = store;
    this.#book = book;
  }

  /** Under the policies that Countersign starts with. */
  static async create(store: Store): Promise<Delegating> {
    const files = await readPolicyFolder('config/policies');
    const set = files.ok ? loadPolicySet(files.value) : files;
    if (!set.ok) throw new Error(JSON.stringify(set.refusal));
    return new Delegating(store, new PolicyBook(set.value));
  }

  /** Agents that may all hand work to each other. */
  async addPeers(depthsMax: readonly number[]): Promise<Peer[]> {
    const agents: Peer[] = [];
    for (const max of depthsMax) {
      const agent = await addPeer(this.#store, max);
      for (const other of agents) {
        await approvePeers(this.#store, other, agent);
        await approvePeers(this.#store, agent, other);
      }
      agents.push(agent);
    }
    return agents;
  }

  /** The delegation that begins a task of the agent. */
  async start(agent: Peer, requesterId: string, tools: ToolSelection): Promise<string> {
    const started = await startTask(this.#store, {
      requesterId,
      agentId: agent.id,
      clientId: agent.clientId,
      purpose: 'Something large',
      purposeCode: '',
      tools,
      seconds: 3600,
      budget: [],
      oauthGrantId: null,
    });
    if (!started.ok) throw new Error(started.refusal.message);
    return started.value.delegationId;
  }

  async handOn({ from, ...asked }: HandOn) {
    return this.handOnBy(await this.claimsAt(from, asked.resources[0]!.resource), asked);
  }

  /** By a token that was issued before, whatever has become of what it is about. */
  async handOnBy(subject: AccessTokenClaims, asked: Omit<HandOn, 'from'>) {
    return delegate(this.#store, this.#book, { ...asked, subject, byAgentId: asked.takerId });
  }

  /** What a token of this delegation says. */
  async claimsAt(delegationId: string, resource: string): Promise<AccessTokenClaims> {
    const live = await findLiveDelegation(this.#store, delegationId);
    if (!live.ok) throw new Error(live.refusal.message);
    const { value } = live;
    const iat = Math.floor(Date.now() / 1000);
    return {
      iss: this.#store.issuer,
      sub: value.requesterId,
      aud: resource,
      client_id: value.clientId,
      iat,
      exp: iat + 300,
      jti: newSecret(),
      scope: 'mcp:tools',
      task: { id: value.id, root: value.rootId, ...(value.isRoot ? {} : { delegation: delegationId }) },
      act: nested(value.actors),
    };
  }

  /** As a call from this place would be judged. */
  async chainAt(delegationId: string): Promise<CallChain> {
    const chain = await loadCallChain(this.#store, await this.claimsAt(delegationId, 'http://localhost/'));
    if (!chain.ok) throw new Error(chain.refusal.message);
    return chain.value;
  }

  async isLive(delegationId: string): Promise<boolean> {
    return (await findLiveDelegation(this.#store, delegationId)).ok;
  }
}

function nested(actors: readonly { readonly id: string; readonly client_id: string }[]): Actor {
  return actors.reduce(
    (inner: Actor | undefined, { id, client_id }) => ({ sub: id, client_id, ...(inner && { act: inner }) }),
    undefined,
  )!;
}
