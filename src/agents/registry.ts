import type { JWK } from 'jose';
import type { Selectable } from 'kysely';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { AgentsTable, ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { AGENT_NAME_LENGTH_MAX, KEYS_PER_AGENT_MAX, PURPOSE_LENGTH_MAX } from './limits.ts';

export type Agent = Selectable<AgentsTable>;

export interface CreateAgent {
  readonly name: string;
  readonly purpose: string;
  /** The accountable owner: an active person. */
  readonly ownerId: string;
  /** The administrator who registers it. */
  readonly by: string;
  /** Public keys (JWK, ES256) of `private_key_jwt`. */
  readonly keys: readonly JWK[];
  /** Tool names per tool server id that its tasks may ever include; null means no bound but the task. */
  readonly bound: ToolSelection | null;
}

/** Registers a service agent: an OAuth client with keys of its own that starts tasks through the API. */
export async function createAgent(store: Store, input: CreateAgent): Promise<Result<Agent, Refusal>> {
  const name = input.name.trim();
  const purpose = input.purpose.trim();
  if (name === '' || name.length > AGENT_NAME_LENGTH_MAX) {
    return refused(refusal('request_invalid', `An agent needs a name of 1 to ${AGENT_NAME_LENGTH_MAX} characters.`));
  }
  if (purpose === '' || purpose.length > PURPOSE_LENGTH_MAX) {
    return refused(refusal('request_invalid', `Say what the agent is for in 1 to ${PURPOSE_LENGTH_MAX} characters.`));
  }
  const keys = publicKeys(input.keys);
  if (!keys.ok) return keys;
  return transact(store, async (tx, afterCommit) => {
    const people = await tx
      .selectFrom('people')
      .select(['id', 'is_administrator'])
      .where('id', 'in', [input.ownerId, input.by])
      .where('state', '=', 'active')
      .execute();
    if (!people.some((person) => person.id === input.by && person.is_administrator)) {
      return refused(refusal('not_allowed', 'Only an administrator can register an agent.'));
    }
    if (!people.some((person) => person.id === input.ownerId)) {
      return refused(refusal('request_invalid', 'The owner must be an active person.'));
    }
    const id = newId('agt');
    const metadata = {
      client_name: name,
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      jwks: { keys: keys.value },
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
        owner_id: input.ownerId,
        name,
        purpose,
        state: 'active',
        bound: input.bound === null ? null : JSON.stringify(input.bound),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'agent.created',
      ids: { agent: id, owner: input.ownerId, person: input.by },
    });
    return accepted(agent);
  });
}

export async function listAgents(store: Store): Promise<Agent[]> {
  return store.db.selectFrom('agents').selectAll().orderBy('created_at', 'desc').limit(500).execute();
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

function publicKeys(keys: readonly JWK[]): Result<JWK[], Refusal> {
  if (keys.length === 0 || keys.length > KEYS_PER_AGENT_MAX) {
    return refused(refusal('request_invalid', `Give 1 to ${KEYS_PER_AGENT_MAX} public keys as JWKs (ES256).`));
  }
  const clean: JWK[] = [];
  for (const { kty, crv, x, y, kid, d } of keys) {
    if (d !== undefined) {
      return refused(
        refusal('request_invalid', 'A private key was sent ("d"). Send public keys only, and replace that key.'),
      );
    }
    if (kty !== 'EC' || crv !== 'P-256' || x === undefined || y === undefined) {
      return refused(refusal('request_invalid', 'Keys must be P-256 public keys (ES256) as JWKs.'));
    }
    clean.push({ kty, crv, x, y, alg: 'ES256', use: 'sig', ...(kid === undefined ? {} : { kid }) });
  }
  return accepted(clean);
}
