import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkSubjectPattern, matchesSubject } from '../../src/agents/subject_pattern.ts';
import { addWorkload, listWorkloads, removeWorkload } from '../../src/agents/workloads.ts';
import type { WorkloadIssuer } from '../../src/model/federation.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPerson, addServiceAgent, type TestAgent } from '../support/oauth_server.ts';
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
const DOMAIN: WorkloadIssuer = { ...PLATFORM, kind: 'spiffe', issuer: 'spiffe://acme.example', format: 'jwt_svid' };

let database: TestDatabase;
let store: Store;
let ownerId: string;
let agent: TestAgent;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  ownerId = await addPerson(store);
  agent = await addServiceAgent(store, ownerId);
});
afterAll(() => database.drop());

const add = (changes: Partial<Parameters<typeof addWorkload>[2]> = {}) =>
  addWorkload(store, [PLATFORM, DOMAIN], {
    agentId: agent.id,
    issuer: PLATFORM.issuer,
    subject: 'repo:acme/shop:environment:production',
    claims: {},
    by: { kind: 'person', id: ownerId },
    ...changes,
  });

test.each([
  '*',
  '**',
  'repo:*',
  '/*',
  '://*',
  ':*',
  'repo:*/shop:ref:main',
  'repo:acme/sh*',
  'repo:acme/*/x',
  'repo:acme/shop:*:*',
  'system:serviceaccount:*:default',
  // Of a URI, scheme and authority say only who its issuer is.
  'https://login.example/*',
  '',
  'repo:acme/shop ref',
  'repo:acme/shop\n',
  'x'.repeat(600),
])('a subject %j is refused when it is written', async (subject) => {
  expect(checkSubjectPattern(subject).ok).toBe(false);
  expect(await add({ subject })).toMatchObject({ ok: false, refusal: { code: 'request_invalid' } });
});

test('a wildcard stands for one segment, never for none, for several, or for part of one', () => {
  const pattern = 'repo:acme/shop:ref:*';
  expect(checkSubjectPattern(pattern).ok).toBe(true);
  expect(matchesSubject(pattern, 'repo:acme/shop:ref:main')).toBe(true);
  for (const other of [
    'repo:acme/shop:ref:',
    'repo:acme/shop:ref:refs/heads/main',
    'repo:acme/shop:ref:main:extra',
    'repo:acme/shop2:ref:main',
    'REPO:acme/shop:ref:main',
    'xrepo:acme/shop:ref:main',
  ]) {
    expect(matchesSubject(pattern, other), other).toBe(false);
  }
  // Without a wildcard nothing is a pattern.
  expect(matchesSubject('a.c:d', 'abc:d')).toBe(false);
});

test('what is added is pinned to the audience of its issuer, is in the audit log, and can be taken away', async () => {
  const added = await add({ claims: { repository_id: '74' } });
  if (!added.ok) throw new Error(added.refusal.message);
  expect(await listWorkloads(store, agent.id)).toMatchObject([
    { issuer: 'https://ci.example', audience: 'countersign', claims: { repository_id: '74' }, created_by: ownerId },
  ]);
  expect(await add()).toMatchObject({ ok: false, refusal: { code: 'conflict' } });
  const removal = { agentId: agent.id, workloadId: added.value.id, by: { kind: 'person', id: ownerId } as const };
  expect((await removeWorkload(store, removal)).ok).toBe(true);
  expect(await removeWorkload(store, removal)).toMatchObject({ ok: false, refusal: { code: 'not_found' } });
  const events = await store.db.selectFrom('events').select(['kind', 'body']).orderBy('id').execute();
  expect(events.map(({ kind }) => kind)).toEqual(['workload.added', 'workload.removed']);
  // Subjects may name people and projects: they are in the part that can be erased.
  expect(events.some(({ body }) => body.includes('repo:acme'))).toBe(false);
});

test.each([
  ['an issuer that is not trusted', { issuer: 'https://ci.example/' }],
  ['a subject outside the trust domain', { issuer: DOMAIN.issuer, subject: 'spiffe://evil.example/ns/a' }],
  ['every workload of a trust domain', { issuer: DOMAIN.issuer, subject: 'spiffe://acme.example/*' }],
  ['a claim that is checked in any case', { claims: { aud: 'x' } }],
  ['a claim with a wildcard', { claims: { ref: 'refs/heads/*' } }],
  ['a claim without a value', { claims: { ref: '' } }],
  ['too many claims', { claims: Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`c${n}`, 'x'])) }],
])('%s is refused', async (_, changes) => {
  expect(await add(changes)).toMatchObject({ ok: false, refusal: { code: 'request_invalid' } });
});

test('only who governs the agent adds to it, and nobody to one that waits, is gone, or is a person’s client', async () => {
  const stranger = await addPerson(store);
  expect((await add({ by: { kind: 'person', id: stranger } })).ok).toBe(false);
  expect((await add({ by: { kind: 'agent', id: agent.id } })).ok).toBe(false);
  expect((await add({ agentId: 'agt_none' })).ok).toBe(false);
  const other = await addServiceAgent(store, ownerId);
  for (const state of ['pending', 'offboarded'] as const) {
    await store.db.updateTable('agents').set({ state }).where('id', '=', other.id).execute();
    expect((await add({ agentId: other.id })).ok, state).toBe(false);
  }
  await store.db
    .updateTable('agents')
    .set({ state: 'active', kind: 'interactive', person_id: ownerId })
    .where('id', '=', other.id)
    .execute();
  expect((await add({ agentId: other.id })).ok).toBe(false);
});
