import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Router from '@koa/router';
import { exportJWK, generateKeyPair } from 'jose';
import Koa from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { approveAgent } from '../../src/agents/approve.ts';
import { findAgent } from '../../src/agents/registry.ts';
import { flushAgentUses, recordAgentUse } from '../../src/agents/uses.ts';
import { listWorkloads } from '../../src/agents/workloads.ts';
import { addAgentRoutes } from '../../src/api/agent_routes.ts';
import { addWorkloadRoutes } from '../../src/api/workload_routes.ts';
import { agentsKeys, agentsList, agentsPeers, agentsShow, agentsWorkloads } from '../../src/cli/agents.ts';
import { CommandError } from '../../src/cli/command_error.ts';
import { makeApiToken } from '../../src/people/api_tokens.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { approvePeers } from '../support/hops.ts';
import { addServiceAgent } from '../support/oauth_server.ts';
import { Scenario } from '../support/scenario.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { createTestStore } from '../support/test_store.ts';
import { type Ended, isPlainFailure, runCommand } from './run_command.ts';

const GITHUB = {
  kind: 'oidc',
  issuer: 'https://token.actions.githubusercontent.com',
  jwksUri: null,
  format: 'jwks',
  audience: 'countersign',
  uses: 'once',
  secondsMax: 3_600,
} as const;

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let http: Server;
let origin: string;
let folder: string;
let tokenFile: string;
let keysFile: string;

beforeAll(async () => {
  database = await createTestDatabase();
  http = createServer();
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  store = createTestStore(database, { issuer: origin });
  scene = await Scenario.create(store);
  const router = new Router();
  addAgentRoutes(router, store);
  addWorkloadRoutes(router, { store, platforms: [GITHUB] });
  http.on('request', new Koa().use(router.routes()).callback());
  folder = await makeScratchDirectory('cli-agents');
  tokenFile = join(folder, 'api.token');
  const by = { kind: 'person', id: scene.requester.person.id } as const;
  const made = await makeApiToken(store, { name: 'cli', scopes: ['agents:read', 'agents:write'], seconds: 600, by });
  if (!made.ok) throw new Error(made.refusal.message);
  await writeFile(tokenFile, `${made.value.token}\n`, { mode: 0o600 });
  keysFile = await keySetFile('keys.json');
});
afterAll(async () => {
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
  await database.drop();
});

async function keySetFile(name: string): Promise<string> {
  const path = join(folder, name);
  const key = await exportJWK((await generateKeyPair('ES256')).publicKey);
  await writeFile(path, JSON.stringify({ keys: [key] }));
  return path;
}

const agents = (...args: string[]): Promise<Ended> =>
  runCommand(['agents', ...args, '--url', origin, '--token-file', tokenFile]);

async function done(...args: string[]): Promise<string> {
  const ended = await agents(...args);
  if (ended.code !== 0) throw new Error(`agents ${args.join(' ')}: ${ended.errors}`);
  return ended.output;
}

test('the whole life of an agent, by a machine and the person who approves', async () => {
  const deputy = await scene.addPerson('Dora', false);
  const terms = join(folder, 'terms.json');
  await writeFile(terms, JSON.stringify({ bound: { [scene.server.id]: ['read_file', 'write_file'] } }));
  const proposed = await done(
    ...['propose', '--name', 'Billing', '--purpose', 'Sends invoices', '--owner', scene.requester.person.id],
    ...['--deputy', deputy.person.id, '--keys-file', keysFile, '--terms-file', terms],
  );
  const id = /agt_[a-z2-7]{26}/.exec(proposed)![0];
  expect(proposed).toContain(`${origin}/agents/${id}`);
  expect(await done('list', '--state', 'pending')).toContain(id);
  const refused = await agents('approve', id);
  expect(refused).toSatisfy(isPlainFailure);
  expect(refused.errors).toContain(`${origin}/agents/${id}`);
  expect((await findAgent(store, id))!.state).toBe('pending');
  await approveAgent(store, { agentId: id, by: scene.administrator.person.id });

  expect(JSON.parse(await done('show', id, '--json'))).toMatchObject({ id, state: 'active' });
  recordAgentUse(store, { agentIds: [id], toolServerId: scene.server.id, toolName: 'read_file' });
  await flushAgentUses(store);
  expect(await done('review', id)).toMatch(/never +files +write_file/);
  expect(await done('review', id, '--remove-unused')).toContain('Taken away: write_file');
  expect((await findAgent(store, id))!.bound).toEqual({ [scene.server.id]: ['read_file'] });
  await writeFile(terms, JSON.stringify({ delegation_depth_max: 1, ends_at: '2099-01-01T00:00:00Z' }));
  const changed = await done('change', id, '--terms-file', terms);
  expect(changed).toContain('Changed at once: ends_at');
  expect(changed).toContain('Waits for another administrator: delegation_depth_max');
  expect(await done('keys', id, '--keys-file', await keySetFile('new.json'))).toContain('replaced');
  expect(await done('peers', id)).toContain('no other agent');
  const next = await scene.addPerson('Nina', false);
  expect(await done('transfer', id, '--owner', next.person.id)).toContain(next.person.id);
  expect(await done('suspend', id, '--reason', 'Odd calls')).toContain('suspended');
  expect(await done('resume', id)).toContain('active again');
  const unsure = await agents('offboard', id);
  expect(unsure).toSatisfy(isPlainFailure);
  expect(unsure.errors).toContain('--yes');
  expect(await done('offboard', id, '--yes')).toContain('for good');
  expect((await findAgent(store, id))!.state).toBe('offboarded');
}, 120_000);

test('the workloads of an agent are listed, added from a file as the help shows one, and removed', async () => {
  const { id } = await addServiceAgent(store, scene.requester.person.id);
  expect(await done('workloads', id)).toContain('No workload signs in');
  const { output: help } = await runCommand(['agents', 'workloads', '--help']);
  const shown = /\{ "issuer"[^}]*\} \}/.exec(help)![0];
  expect(help).toContain('GitHub Actions');
  const file = join(folder, 'workload.json');
  await writeFile(file, shown);
  const workload = /wkl_[a-z2-7]{26}/.exec(await done('workloads', id, '--add-file', file))![0];
  const { subject, claims } = JSON.parse(shown);
  expect(await listWorkloads(store, id)).toMatchObject([{ id: workload, issuer: GITHUB.issuer, subject, claims }]);
  const listed = await done('workloads', id);
  for (const words of [workload, GITHUB.issuer, subject, JSON.stringify(claims), 'never']) {
    expect(listed).toContain(words);
  }
  const { workloads } = JSON.parse(await done('workloads', id, '--json'));
  expect(workloads).toMatchObject([{ workload_id: workload, claims }]);
  expect(await done('workloads', id, '--remove', workload)).toContain('removed');
  expect(await listWorkloads(store, id)).toEqual([]);
}, 60_000);

test('a workload that the server refuses is refused in its words', async () => {
  const { id } = await addServiceAgent(store, scene.requester.person.id);
  const file = join(folder, 'refused.json');
  const at = { url: origin, tokenFile };
  const valid = { issuer: GITHUB.issuer, subject: 'repo:acme/shop:environment:production', claims: {} };
  const wrong: [object, RegExp][] = [
    [{ ...valid, subject: '*' }, /match almost anything|whole last segment/],
    [{ ...valid, issuer: 'https://ci.example' }, /not trusted here/],
    [{ ...valid, claims: { sub: 'x' } }, /checked in any case/],
    [{ ...valid, claims: { repository_id: 7 } }, /claims/],
  ];
  for (const [body, words] of wrong) {
    await writeFile(file, JSON.stringify(body));
    await expect(agentsWorkloads(id, { ...at, addFile: file })).rejects.toThrow(words);
  }
  await expect(agentsWorkloads(id, { ...at, remove: 'wkl_x' })).rejects.toThrow(/no such workload/);
  await expect(agentsWorkloads(id, { ...at, addFile: file, remove: 'wkl_x' })).rejects.toThrow(/not both/);
  await expect(agentsWorkloads(id, { ...at, addFile: '/nothing' })).rejects.toThrow(/cannot be read/);
  expect(await listWorkloads(store, id)).toEqual([]);
});

test('who removes a peer is told what ended with it', async () => {
  const [giver, taker] = [
    await addServiceAgent(store, scene.requester.person.id),
    await addServiceAgent(store, scene.requester.person.id),
  ];
  await approvePeers(store, giver, taker);
  const removed = await done('peers', giver.id, '--remove', `to:${taker.id}`);
  expect(removed).toContain(`${giver.id} hands nothing to ${taker.id} any more. Nothing was under way`);
  expect(removed).toContain('no other agent');
}, 60_000);

test('what cannot work is said in words, and no token goes where it could be read', async () => {
  const ended = await runCommand(['agents', 'list', '--url', origin], {
    environment: { COUNTERSIGN_API_TOKEN: 'cst_wrong' },
  });
  expect(ended).toSatisfy(isPlainFailure);
  expect(ended.errors).toMatch(/no such API token/);
  const wrong: [() => Promise<void>, RegExp][] = [
    [() => agentsList({}), /--url/],
    [() => agentsList({ url: 'http://approve.example', tokenFile }), /must use https/],
    [() => agentsList({ url: 'nothing', tokenFile }), /no URL/],
    [() => agentsList({ url: origin }), /API token/],
    [() => agentsList({ url: origin, tokenFile: keysFile }), /chmod 600/],
    [() => agentsList({ url: 'http://127.0.0.1:9', tokenFile }), /cannot be reached/],
    [() => agentsShow('agt_x', { url: origin, tokenFile }), /no such agent/],
    [() => agentsKeys('agt_x', { url: origin, tokenFile, keysFile: '/nothing' }), /cannot be read/],
    [() => agentsKeys('agt_x', { url: origin, tokenFile, keysFile: tokenFile }), /JSON/],
    [() => agentsPeers('agt_x', { url: origin, tokenFile, remove: 'beside:agt_y' }), /to:<agent>/],
  ];
  for (const [run, words] of wrong) {
    const error = await run().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(CommandError);
    expect((error as Error).message).toMatch(words);
  }
});
