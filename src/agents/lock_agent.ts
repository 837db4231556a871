import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Acting } from '../model/acting.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';

export interface LockedPerson {
  readonly isActive: boolean;
  readonly isAdministrator: boolean;
}

/** Who changes an agent: with the person who is accountable for it, which for an API token is who made it. */
export interface Actor {
  readonly by: Acting;
  readonly personId: string | null;
  readonly people: ReadonlyMap<string, LockedPerson>;
}

/**
 * Locks people FOR SHARE, by id: in the order and strength in which everything that hangs on them does (design §4), so that
 * nobody is disabled between the look and the commit.
 */
export async function lockActor(tx: Tx, by: Acting, otherIds: readonly (string | null)[]): Promise<Actor> {
  const personId = await personBehind(tx, by);
  const ids = [...new Set([personId, ...otherIds].filter((id): id is string => id !== null))];
  const rows =
    ids.length === 0
      ? []
      : await tx
          .selectFrom('people')
          .select(['id', 'state', 'is_administrator'])
          .where('id', 'in', ids)
          .orderBy('id')
          .forShare()
          .execute();
  const people = new Map(
    rows.map((row) => [row.id, { isActive: row.state === 'active', isAdministrator: row.is_administrator }]),
  );
  return { by, personId, people };
}

async function personBehind(tx: Tx, by: Acting): Promise<string | null> {
  if (by.kind === 'person') return by.id;
  if (by.kind !== 'api_token') return null;
  const token = await tx.selectFrom('api_tokens').select('created_by').where('id', '=', by.id).executeTakeFirst();
  return token?.created_by ?? null;
}

/** After the people: the agent, against everything that is begun or revoked below it. */
export async function lockAgent(tx: Tx, agentId: string): Promise<Result<Agent, Refusal>> {
  const agent = await tx.selectFrom('agents').selectAll().where('id', '=', agentId).forNoKeyUpdate().executeTakeFirst();
  return agent === undefined ? refused(noSuchAgent()) : accepted(agent);
}

export function noSuchAgent(): Refusal {
  return refusal('not_found', 'There is no such agent, or it is none of your business.');
}

/** Whether this person is active, by what was locked. */
export function isActive({ people }: Actor, personId: string | null): boolean {
  return personId !== null && people.get(personId)?.isActive === true;
}

export function isAdministrator(actor: Actor): boolean {
  if (actor.by.kind === 'server') return true;
  const person = actor.personId === null ? undefined : actor.people.get(actor.personId);
  return actor.by.kind === 'person' && person?.isActive === true && person.isAdministrator;
}

/**
 * Whether who acts may govern this agent: whoever answers for it, administrators, and machines that an administrator gave
 * an API token for that (its scope is checked where the token is).
 */
export function mayGovern(actor: Actor, agent: Pick<Agent, 'owner_id' | 'deputy_id'>): boolean {
  if (actor.by.kind === 'agent') return false;
  if (actor.by.kind !== 'person') return true;
  if (!isActive(actor, actor.personId)) return false;
  return isAdministrator(actor) || [agent.owner_id, agent.deputy_id].includes(actor.personId);
}

/** Locks who acts and the agent, and refuses whoever may not govern it. */
export async function lockToGovern(
  tx: Tx,
  input: { readonly agentId: string; readonly by: Acting; readonly otherIds?: readonly string[] },
): Promise<Result<{ readonly agent: Agent; readonly actor: Actor }, Refusal>> {
  const actor = await lockActor(tx, input.by, input.otherIds ?? []);
  const agent = await lockAgent(tx, input.agentId);
  if (!agent.ok) return agent;
  return mayGovern(actor, agent.value) ? accepted({ agent: agent.value, actor }) : refused(noSuchAgent());
}

/** A proposal is approved as it was shown, so it is not changed; what was offboarded stays as it was. */
export function refuseUnlessGoverned(agent: Agent): Result<Agent, Refusal> {
  if (agent.state === 'pending') {
    return refused(
      refusal(
        'conflict',
        'This agent waits for approval and stays as it was proposed. Take it back and propose it anew.',
      ),
    );
  }
  if (agent.state === 'offboarded') {
    return refused(refusal('conflict', 'This agent was offboarded. Nothing about it changes any more.'));
  }
  return accepted(agent);
}
