import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { approveAgent } from '../../src/agents/approve.ts';
import { proposeAgent } from '../../src/agents/propose.ts';
import type { Agent } from '../../src/agents/registry.ts';
import { replaceAgentKeys } from '../../src/agents/replace_keys.ts';
import { transferAgent } from '../../src/agents/transfer.ts';
import { addWorkload, removeWorkload } from '../../src/agents/workloads.ts';
import { chainOf, loadLineage } from '../../src/approvals/lineage.ts';
import type { Result } from '../../src/kernel/result.ts';
import { mayVoteFor } from '../../src/model/eligibility.ts';
import type { WorkloadIssuer } from '../../src/model/federation.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { startTask } from '../../src/tasks/start.ts';
import type { Refusal } from '../../src/wire/refusals.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const PLATFORM: WorkloadIssuer = {
  kind: 'oidc',
  issuer: 'https://ci.example',
  jwksUri: null,
  format: 'jwks',
  audience: 'countersign',
  uses: 'once',
  secondsMax: 3_600,
};

let database: TestDatabase;
let scene: Scenario;
let agent: Agent;
let first: JWK;
/** Owner, deputy, who owns it later, and an administrator who has no part in it. */
let [otto, dora, nina, grace]: SignedIn[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  scene = await Scenario.create(createTestStore(database));
});
afterAll(() => database.drop());
beforeEach(async () => {
  otto = await scene.addPerson('Otto', true);
  dora = await scene.addPerson('Dora', false);
  nina = await scene.addPerson('Nina', false);
  grace = await scene.addPerson('Grace', true);
  first = await key();
  const said = { name: 'Billing', purpose: 'Sends invoices', credentials: { keys: [first] } };
  const input = { ...said, ownerId: idOf(otto), deputyId: idOf(dora) };
  const { id: agentId } = got(await proposeAgent(scene.store, input, by(otto)));
  agent = got(await approveAgent(scene.store, { agentId, by: idOf(grace) }));
});

const idOf = (who: SignedIn | undefined) => who!.person.id;
const by = (who: SignedIn | undefined) => ({ kind: 'person', id: idOf(who) }) as const;
const key = async () => exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey);

function got<Value>(result: Result<Value, Refusal>): Value {
  if (!result.ok) throw new Error(`${result.refusal.code}: ${result.refusal.message}`);
  return result.value;
}

const giveToNina = () => transferAgent(scene.store, { agentId: agent.id, ownerId: idOf(nina), by: by(otto) });
const replace = (who: SignedIn | undefined, keys: readonly JWK[]) =>
  replaceAgentKeys(scene.store, { agentId: agent.id, keys, by: by(who) });

/** Who decides about nothing in a task that the agent starts now. */
async function barred(): Promise<readonly string[]> {
  const { delegationId } = got(
    await startTask(scene.store, {
      requesterId: idOf(nina),
      agentId: agent.id,
      clientId: agent.client_id,
      purpose: 'x',
      purposeCode: '',
      tools: { [scene.server.id]: ['read_file'] },
      seconds: 60,
      oauthGrantId: null,
    }),
  );
  const chain = chainOf((await loadLineage(database.db, delegationId))!, null);
  // Who has no part in it any more sees nothing of it.
  expect(chain.accountableIds).not.toContain(idOf(grace));
  const everybody = [otto, dora, nina, grace].map(idOf);
  const gate = { name: 'any', quorum: 1, policy_id: 'any', why: '', approvers: everybody.map((id) => `person:${id}`) };
  const voter = (id: string) => ({ id, isActive: true, isAdministrator: false, groups: [] });
  return everybody.filter((id) => !mayVoteFor(gate, voter(id), chain, false));
}

test('an owner who gave the agent away and may still have its key decides about nothing it begins', async () => {
  got(await giveToNina());
  expect(await barred()).toContain(idOf(otto));
  // The old key signs beside the new one.
  got(await replace(nina, [first, await key()]));
  expect(await barred()).toContain(idOf(otto));
  got(await replace(nina, [await key()]));
  expect(await barred()).not.toContain(idOf(otto));
});

test('an administrator who put a key in decides about nothing until it is replaced', async () => {
  expect(await barred()).not.toContain(idOf(grace));
  got(await replace(grace, [await key()]));
  expect(await barred()).toContain(idOf(grace));
  got(await replace(otto, [await key()]));
  expect(await barred()).not.toContain(idOf(grace));
});

test('whoever named a workload that is the agent decides about nothing until it is removed', async () => {
  const named = { issuer: PLATFORM.issuer, subject: `repo:acme/${agent.id}:ref:main`, claims: {} };
  const added = await addWorkload(scene.store, [PLATFORM], { ...named, agentId: agent.id, by: by(grace) });
  expect(await barred()).toContain(idOf(grace));
  const workloadId = got(added).id;
  got(await removeWorkload(scene.store, { agentId: agent.id, workloadId, by: by(otto) }));
  expect(await barred()).not.toContain(idOf(grace));
});
