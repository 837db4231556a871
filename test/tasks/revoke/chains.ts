import { lockLineage } from '../../../src/approvals/ancestors.ts';
import { loadLineage } from '../../../src/approvals/lineage.ts';
import { newId } from '../../../src/kernel/ids.ts';
import { findLiveDelegation } from '../../../src/provider/live_task.ts';
import type { Store } from '../../../src/store/store.ts';
import { transactRepeatably } from '../../../src/store/transact.ts';
import { startTask } from '../../../src/tasks/start.ts';
import { startSubTask } from '../../../src/tasks/sub_task.ts';
import type { Scenario } from '../../support/scenario.ts';

/** A place in a chain: a delegation, the task it is in, and who acts there. */
export interface Place {
  readonly delegationId: string;
  readonly taskId: string;
  readonly agentId: string;
}

/** Chains of agents in the database of a scenario, made hop by hop. */
export class Chains {
  readonly #store: Store;
  readonly #scene: Scenario;

  constructor(store: Store, scene: Scenario) {
    this.#store = store;
    this.#scene = scene;
  }

  async addAgent(ownerId = this.#scene.requester.person.id, deputyId: string | null = null): Promise<string> {
    const id = newId('agt');
    await this.#store.db
      .insertInto('agents')
      .values({
        id,
        kind: 'service',
        client_id: id,
        person_id: null,
        owner_id: ownerId,
        deputy_id: deputyId,
        name: 'One of many',
        purpose: 'Does its part.',
        state: 'active',
        bound: null,
        delegation_depth_max: 8,
      })
      .execute();
    return id;
  }

  async start(agentId: string, requesterId = this.#scene.requester.person.id): Promise<Place> {
    const started = await startTask(this.#store, {
      requesterId,
      agentId,
      clientId: agentId,
      purpose: 'Something large',
      purposeCode: '',
      tools: { [this.#scene.server.id]: ['write_file', 'erase_disk'] },
      seconds: 3600,
      budget: [],
      oauthGrantId: null,
    });
    if (!started.ok) throw new Error(started.refusal.message);
    return { delegationId: started.value.delegationId, taskId: started.value.taskId, agentId };
  }

  /** What an exchange keeps, under the locks that it takes; null where something above has ended. */
  async hand({ delegationId, taskId }: Place, agentId: string): Promise<Place | null> {
    return transactRepeatably(this.#store, async (tx) => {
      const lineage = (await loadLineage(tx, delegationId))!;
      if (!(await lockLineage(tx, lineage)).ok) return null;
      const id = newId('dlg');
      await tx
        .insertInto('delegations')
        .values({
          id,
          task_id: taskId,
          parent_id: delegationId,
          agent_id: agentId,
          depth: lineage.delegation_ids.length,
          kind: 'exchange',
          agent_chain: [...lineage.agent_ids, agentId],
          task_chain: [...lineage.task_ids],
          delegation_chain: [...lineage.delegation_ids, id],
          revoked_at: null,
        })
        .execute();
      return { delegationId: id, taskId, agentId };
    });
  }

  /** A sub-task of whoever acts at this place; null where something above has ended. */
  async begin({ agentId, taskId, delegationId }: Place): Promise<Place | null> {
    const started = await startSubTask(this.#store, {
      agentId,
      parentTaskId: taskId,
      delegationId,
      purpose: 'A part of it',
      tools: { [this.#scene.server.id]: ['write_file'] },
      budget: [],
    });
    return started.ok ? { agentId, taskId: started.value.taskId, delegationId: started.value.delegationId } : null;
  }

  /** Calls are made from this place from now on. */
  async actAt({ delegationId }: Place): Promise<void> {
    const live = await findLiveDelegation(this.#store, delegationId);
    if (!live.ok) throw new Error(live.refusal.message);
    const { value } = live;
    const [first, ...later] = value.actors;
    const act = later.reduce((inner, { id, client_id }) => ({ sub: id, client_id, act: inner }), {
      sub: first!.id,
      client_id: first!.client_id,
    } as NonNullable<Scenario['claims']['act']>);
    this.#scene.claims = {
      ...this.#scene.claims,
      client_id: value.clientId,
      sub: value.requesterId,
      task: { id: value.id, root: value.rootId, ...(value.isRoot ? {} : { delegation: delegationId }) },
      act,
    };
  }

  async isLive({ delegationId }: Place): Promise<boolean> {
    return (await findLiveDelegation(this.#store, delegationId)).ok;
  }
}
