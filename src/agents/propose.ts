import type { JWK } from 'jose';
import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { checkTerms, keyDaysWithoutKeys } from './check_terms.ts';
import { areKeysTaken, keyTaken, readPublicKeys } from './keys.ts';
import {
  AGENT_NAME_LENGTH_MAX,
  PENDING_AGENTS_MAX,
  PENDING_AGENTS_PER_PERSON_MAX,
  PURPOSE_LENGTH_MAX,
} from './limits.ts';
import { type Actor, isActive, lockActor } from './lock_agent.ts';
import { checkAccountable, openOwnership } from './ownership.ts';
import { type SomeTerms, termColumns } from './terms.ts';

/** How it proves who it is: exactly one of these. */
export type AgentCredentials =
  | { readonly keys: readonly JWK[] }
  /** Where it publishes its keys. */
  | { readonly jwksUri: string }
  /** By tokens of its platform, which are named once it is approved. */
  | { readonly isWorkloadOnly: true };

export interface ProposeAgent {
  readonly name: string;
  readonly purpose: string;
  /** The accountable owner: an active person. */
  readonly ownerId: string;
  /** Who answers for it when the owner cannot; may be left out in single-operator mode only. */
  readonly deputyId: string | null;
  readonly credentials: AgentCredentials;
  readonly terms?: SomeTerms;
}

/** A proposal whose form was checked; who and what it names is checked in the transaction. */
export interface CheckedProposal extends ProposeAgent {
  /** As members of the client's metadata. */
  readonly clientKeys: JsonObject;
  readonly keys: readonly JWK[];
}

/**
 * Somebody proposes a service agent: an OAuth client with credentials of its own. It can do nothing until an administrator
 * other than who proposed it approves it as it is.
 */
export async function proposeAgent(store: Store, input: ProposeAgent, by: Acting): Promise<Result<Agent, Refusal>> {
  const checked = await checkProposal(input, new Date());
  if (!checked.ok) return checked;
  return transactRepeatably(store, async (tx, afterCommit) => {
    const actor = await lockActor(tx, by, [input.ownerId, input.deputyId]);
    if (by.kind === 'agent' || (by.kind === 'person' && !isActive(actor, by.id))) {
      return refused(refusal('not_allowed', 'Only an active person, or a machine with an API token, proposes agents.'));
    }
    const hasRoom = await checkRoom(tx, actor.personId);
    return hasRoom.ok
      ? insertProposal(store, tx, afterCommit, checked.value, actor, store.rules.singleOperator)
      : hasRoom;
  });
}

/** What can be said of a proposal without asking the database. */
export async function checkProposal(input: ProposeAgent, now: Date): Promise<Result<CheckedProposal, Refusal>> {
  const name = input.name.trim();
  const purpose = input.purpose.trim();
  if (name === '' || name.length > AGENT_NAME_LENGTH_MAX) {
    return refused(refusal('request_invalid', `An agent needs a name of 1 to ${AGENT_NAME_LENGTH_MAX} characters.`));
  }
  if (purpose === '' || purpose.length > PURPOSE_LENGTH_MAX) {
    return refused(refusal('request_invalid', `Say what the agent is for in 1 to ${PURPOSE_LENGTH_MAX} characters.`));
  }
  const { credentials } = input;
  if (!('keys' in credentials) && typeof input.terms?.key_days === 'number') return refused(keyDaysWithoutKeys());
  if ('jwksUri' in credentials) {
    if (!URL.canParse(credentials.jwksUri) || !/^https?:$/.test(new URL(credentials.jwksUri).protocol)) {
      return refused(refusal('request_invalid', 'The address of the keys (jwks_uri) must be an https URL.'));
    }
    const clientKeys = { jwks_uri: credentials.jwksUri };
    return accepted({ ...input, name, purpose, clientKeys, keys: [] });
  }
  if ('isWorkloadOnly' in credentials) {
    return accepted({ ...input, name, purpose, clientKeys: { jwks: { keys: [] } }, keys: [] });
  }
  const keys = await readPublicKeys(credentials.keys, now);
  if (!keys.ok) return keys;
  const clientKeys = { jwks: { keys: keys.value } } as unknown as JsonObject;
  return accepted({ ...input, name, purpose, clientKeys, keys: keys.value });
}

async function checkRoom(tx: Tx, personId: string | null): Promise<Result<true, Refusal>> {
  const { rows } = await sql<{ all: number; own: number }>`select count(*)::int as all,
      (count(*) filter (where proposed_by = ${personId}))::int as own
    from agents where state = 'pending'`.execute(tx);
  const { all, own } = rows[0]!;
  if (all < PENDING_AGENTS_MAX && own < PENDING_AGENTS_PER_PERSON_MAX) return accepted(true);
  return refused(
    refusal('rate_limited', 'Too many proposed agents wait already. Have some approved, or take some back, first.'),
  );
}

/** In the transaction that locked who acts, the owner and the deputy. */
export async function insertProposal(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  proposal: CheckedProposal,
  actor: Actor,
  mayBeAlone: boolean,
): Promise<Result<Agent, Refusal>> {
  const { ownerId, deputyId, terms = {} } = proposal;
  const accountable = checkAccountable(actor, { ownerId, deputyId }, mayBeAlone);
  if (!accountable.ok) return accountable;
  const fits = await checkTerms(tx, terms, { bound: {} }, new Date());
  if (!fits.ok) return fits;
  if (await areKeysTaken(tx, proposal.keys, null)) return refused(keyTaken());
  const agent = await insertRows(tx, proposal, actor);
  await append(store, tx, afterCommit, {
    kind: 'agent.proposed',
    ids: { agent: agent.id, owner: ownerId, deputy: deputyId, ...actingIds(actor.by) },
  });
  return accepted(agent);
}

async function insertRows(tx: Tx, proposal: CheckedProposal, actor: Actor): Promise<Agent> {
  const id = newId('agt');
  const { name, purpose, ownerId, deputyId, terms = {}, clientKeys } = proposal;
  const metadata = {
    client_name: name,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    ...clientKeys,
  };
  await tx
    .insertInto('oauth_clients')
    .values({ client_id: id, source: 'agent', metadata: JSON.stringify(metadata) })
    .execute();
  const agent = await tx
    .insertInto('agents')
    .values({
      id,
      kind: 'service',
      client_id: id,
      person_id: null,
      owner_id: ownerId,
      deputy_id: deputyId,
      name,
      purpose,
      state: 'pending',
      bound: null,
      ...termColumns(terms),
      proposed_by: actor.personId,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await openOwnership(tx, id, { owner: ownerId, deputy: deputyId });
  return agent;
}
