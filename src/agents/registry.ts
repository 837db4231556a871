import type { JWK } from 'jose';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { activate } from './approve.ts';
import { AGENTS_LISTED_MAX } from './limits.ts';
import { isAdministrator, lockActor } from './lock_agent.ts';
import { checkProposal, insertProposal } from './propose.ts';
import type { SomeTerms } from './terms.ts';

export type { Agent } from './agent.ts';

export interface CreateAgent {
  readonly name: string;
  readonly purpose: string;
  /** The accountable owner: an active person. */
  readonly ownerId: string;
  readonly deputyId?: string;
  /** The administrator who registers it. */
  readonly by: string;
  /** Public keys (JWK, ES256) of `private_key_jwt`. */
  readonly keys: readonly JWK[];
  /** Tool names per tool server id that its tasks may ever include; null means no bound but the task. */
  readonly bound: ToolSelection | null;
  readonly terms?: Omit<SomeTerms, 'bound'>;
}

/**
 * Proposes and activates a service agent in one step. For an administrator who is alone: in single-operator mode, which is
 * the only way that leads here; elsewhere `proposeAgent` and `approveAgent` are two people.
 */
export async function createAgent(store: Store, input: CreateAgent): Promise<Result<Agent, Refusal>> {
  const { name, purpose, ownerId, keys, bound } = input;
  const deputyId = input.deputyId ?? null;
  const proposal = { name, purpose, ownerId, deputyId, credentials: { keys }, terms: { ...input.terms, bound } };
  const checked = await checkProposal(proposal, new Date());
  if (!checked.ok) return checked;
  return transactRepeatably(store, async (tx, afterCommit) => {
    const actor = await lockActor(tx, { kind: 'person', id: input.by }, [ownerId, deputyId]);
    if (!isAdministrator(actor)) {
      return refused(refusal('not_allowed', 'Only an administrator can register an agent.'));
    }
    const proposed = await insertProposal(store, tx, afterCommit, checked.value, actor, true);
    return proposed.ok ? accepted(await activate(store, tx, afterCommit, proposed.value, actor)) : proposed;
  });
}

/** The newest first. */
export async function listAgents(store: Store): Promise<Agent[]> {
  return store.db.selectFrom('agents').selectAll().orderBy('created_at', 'desc').limit(AGENTS_LISTED_MAX).execute();
}

export async function findAgent(store: Store, id: string): Promise<Agent | undefined> {
  return store.db.selectFrom('agents').selectAll().where('id', '=', id).executeTakeFirst();
}

export async function findServiceAgentByClient(store: Store, clientId: string): Promise<Agent | undefined> {
  return store.db
    .selectFrom('agents')
    .selectAll()
    .where('client_id', '=', clientId)
    .where('kind', '=', 'service')
    .executeTakeFirst();
}
