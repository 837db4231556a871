import { findOrCreateInteractiveAgent } from '../agents/interactive.ts';
import { findServiceAgentByClient } from '../agents/registry.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { RemoteKeySets } from '../keys/remote_key_sets.ts';
import type { AssertionIssuer } from '../model/federation.ts';
import type { Store } from '../store/store.ts';
import { peekForeignToken, verifyForeignToken } from '../wire/foreign_token.ts';
import { ID_JAG_TYPE, type IdentityAssertion, readIdentityAssertion } from '../wire/identity_assertion_id_jag_04.ts';

export interface AssertionProblem {
  readonly code: string;
  readonly message: string;
}

/** A verified assertion with the issuer of the configuration that made it. */
export interface VerifiedAssertion extends IdentityAssertion {
  readonly issuer: string;
}

export interface AssertionReader {
  readonly store: Store;
  readonly issuers: readonly AssertionIssuer[];
  readonly keySets: RemoteKeySets;
}

/** ID-JAG -04 §4.4.1, as far as the assertion alone decides. Rejects with `KeysUnreachable`. */
export async function verifyIdentityAssertion(
  { store, issuers, keySets }: AssertionReader,
  assertion: string,
  now: Date,
): Promise<Result<VerifiedAssertion, AssertionProblem>> {
  const said = peekForeignToken(assertion);
  if (said?.type !== ID_JAG_TYPE) {
    return refused({ code: 'type', message: `it must be an identity assertion: a JWT of the type ${ID_JAG_TYPE}` });
  }
  const issuer = issuers.find((one) => one.issuer === said.issuer);
  if (issuer === undefined) return refused({ code: 'issuer', message: 'its issuer is not trusted here' });
  const verified = await verifyForeignToken(assertion, keySets.finder(issuer), {
    issuer: issuer.issuer,
    audience: store.issuer,
    types: [ID_JAG_TYPE],
    secondsMax: issuer.secondsMax,
    now,
  });
  if (!verified.ok) return verified;
  const read = readIdentityAssertion(verified.value, issuer.tenant);
  return read.ok ? accepted({ ...read.value, issuer: issuer.issuer }) : read;
}

/** The person here who is this subject of this issuer: linked by sign-in or by the directory, never by a name or an address. */
export async function findAssertedPerson(
  { db }: Pick<Store, 'db'>,
  { issuer, subject }: Pick<VerifiedAssertion, 'issuer' | 'subject'>,
): Promise<Result<string, AssertionProblem>> {
  const row = await db
    .selectFrom('identities')
    .innerJoin('people', 'people.id', 'identities.person_id')
    .select(['people.id', 'people.state'])
    .where('identities.issuer', '=', issuer)
    .where('identities.subject', '=', subject)
    .executeTakeFirst();
  if (row === undefined) {
    return refused({
      code: 'person_unknown',
      message: 'nobody here is its subject: the person signs in here once first',
    });
  }
  return row.state === 'active'
    ? accepted(row.id)
    : refused({ code: 'person_inactive', message: 'the person it speaks of is not active here' });
}

/** The agent that presents it: a registered service agent, or this client in the hands of this person. */
export async function findAssertingAgent(
  store: Store,
  client: { readonly clientId: string; readonly clientName?: string | undefined },
  personId: string,
): Promise<string> {
  const service = await findServiceAgentByClient(store, client.clientId);
  if (service !== undefined) return service.id;
  const clientName = client.clientName ?? client.clientId;
  return (await findOrCreateInteractiveAgent(store, { clientId: client.clientId, clientName, personId })).agentId;
}
