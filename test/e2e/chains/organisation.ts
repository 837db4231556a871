import { ScriptedPerson, textOf } from '../../../examples/demo/scripted_person.ts';
import { createServiceAgent, generateAgentKey, type ServiceAgent } from '../../../src/agent/index.ts';
import { newId } from '../../../src/kernel/ids.ts';
import { makeApiToken } from '../../../src/people/api_tokens.ts';
import { loadPolicySet } from '../../../src/policy/policy_set.ts';
import { readPolicyFolder } from '../../../src/policy/read_folder.ts';
import { type DpopKey, generateDpopKey } from '../../../src/wire/dpop_rfc9449.ts';
import { startWorld, type World } from '../world.ts';

const POLICIES = 'test/e2e/chains/policies';

/** Somebody who works there, signed in. */
export interface Colleague {
  readonly id: string;
  readonly name: string;
  readonly pages: ScriptedPerson;
}

/** An agent of the organisation, with whoever answers for it. */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly owner: Colleague;
  readonly agent: ServiceAgent;
  /** The key that its tokens are bound to, if it was added with `dpop`. */
  readonly key: DpopKey;
}

export interface MemberTerms {
  readonly delegation_depth_max?: number;
  readonly bound?: Readonly<Record<string, readonly string[]>>;
  readonly trust_zone?: string;
}

/** A server where nobody is alone: agents are proposed by a pipeline, approved by Olga, and owned by others. */
export interface Organisation {
  readonly world: World;
  /** Who approves: an administrator who answers for no agent. */
  readonly olga: Colleague;
  /** Stands in for every owner, and answers for the pipeline. */
  readonly deputyId: string;
  readonly policyVersion: string;
  readonly apiToken: string;
  /** Undone in the reverse order when the organisation closes. */
  readonly closing: (() => Promise<unknown>)[];
  /** A request with the API token. */
  api(method: string, path: string, body?: object): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

export async function startOrganisation(): Promise<Organisation> {
  const world = await startWorld({ mode: 'standard', hasGateway: false, config: { policies: POLICIES } });
  const closing = [() => world.close()];
  try {
    const scopes = ['agents:read', 'agents:write', 'tasks:read', 'tasks:write'] as const;
    const deputyId = await insertPerson(world, 'Dora', false);
    const by = { kind: 'person', id: deputyId } as const;
    const made = await makeApiToken(world.store, { name: 'pipeline', scopes, seconds: 3600, by });
    if (!made.ok) throw new Error(made.refusal.message);
    const { token } = made.value;
    return {
      world,
      olga: { id: world.operatorId, name: 'Olga', pages: world.operator },
      deputyId,
      policyVersion: await policyVersion(),
      apiToken: token,
      closing,
      api: (method, path, body) => request(world.issuer, token, { method, path, body }),
      async close() {
        for (const end of closing.splice(0).reverse()) await end();
      },
    };
  } catch (error) {
    await world.close();
    throw error;
  }
}

async function policyVersion(): Promise<string> {
  const files = await readPolicyFolder(POLICIES);
  const set = files.ok ? loadPolicySet(files.value) : files;
  if (!set.ok) throw new Error(JSON.stringify(set.refusal));
  return set.value.version;
}

async function request(
  issuer: string,
  token: string,
  { method, path, body }: { readonly method: string; readonly path: string; readonly body: object | undefined },
): Promise<Record<string, unknown>> {
  const response = await fetch(`${issuer}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
  return answer === '' ? {} : (JSON.parse(answer) as Record<string, unknown>);
}

/** A new colleague, signed in by a link. */
export async function addColleague(
  { world }: Organisation,
  name: string,
  { isAdministrator = false }: { readonly isAdministrator?: boolean } = {},
): Promise<Colleague> {
  const id = await insertPerson(world, name, isAdministrator);
  const pages = new ScriptedPerson(world.issuer);
  await pages.submit(await pages.open(await world.signInLink(id)), { action: /\/link\// });
  return { id, name, pages };
}

async function insertPerson({ store }: World, name: string, isAdministrator: boolean): Promise<string> {
  const id = newId('prs');
  await store.db
    .insertInto('people')
    .values({
      id,
      display_name: name,
      state: 'active',
      is_administrator: isAdministrator,
      user_handle: Buffer.from(id),
    })
    .execute();
  return id;
}

/** Proposed by the pipeline, approved by Olga. */
export async function addMember(
  organisation: Organisation,
  name: string,
  owner: Colleague,
  options: { readonly terms?: MemberTerms; readonly dpop?: boolean } = {},
): Promise<Member> {
  const { world, olga, deputyId, api } = organisation;
  const { key, publicJwk } = await generateAgentKey();
  const proposal = {
    name,
    purpose: `${name} of this organisation`,
    owner: owner.id,
    deputy: deputyId,
    keys: [publicJwk],
  };
  const terms = { delegation_depth_max: 4, ...options.terms };
  const { agent_id, id, client_id } = await api('POST', '/agents', { ...proposal, terms });
  const agentId = String(agent_id ?? id);
  await submitted(olga, `/agents/${agentId}`, /\/approve$/);
  const bound = await generateDpopKey();
  return {
    id: agentId,
    name,
    owner,
    agent: createServiceAgent({
      issuer: world.issuer,
      clientId: String(client_id),
      key,
      ...(options.dpop === true ? { dpop: bound } : {}),
    }),
    key: bound,
  };
}

/** Each end is agreed to by whoever answers for it. */
export async function makePeers(from: Member, to: Member): Promise<void> {
  const direction = (name: 'to' | 'from', peer: Member) => ({ direction: name, peer: peer.id });
  await submitted(from.owner, `/agents/${from.id}`, /\/peers$/, direction('to', to));
  await submitted(to.owner, `/agents/${to.id}`, /\/peers$/, direction('from', from));
}

/** Fills in and posts the form of a page, as this person. */
export async function submitted(
  { pages }: Colleague,
  path: string,
  action: RegExp,
  fields: Readonly<Record<string, string>> = {},
): Promise<void> {
  const page = await pages.submit(await pages.open(path), { action }, fields);
  if (page.status !== 200) throw new Error(`${page.status}: ${textOf(page.html)}`);
}
