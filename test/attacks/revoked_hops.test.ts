import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Acting } from '../../src/model/acting.ts';
import { offboardAgent } from '../../src/tasks/revoke/offboard_agent.ts';
import { resumeAgent } from '../../src/tasks/revoke/resume_agent.ts';
import { revokeDelegation } from '../../src/tasks/revoke/revoke_delegation.ts';
import { suspendAgent } from '../../src/tasks/revoke/suspend_agent.ts';
import { addRow, exchange, type Row, taskToken, tokenOf } from '../support/hops.ts';
import { clientAssertion, postForm } from '../support/oauth_flow.ts';
import { type OAuthServer, startOAuthServer, type TestKey } from '../support/oauth_server.ts';

let server: OAuthServer;
let row: Row;
const by: Acting = { kind: 'server', id: 'server' };

beforeAll(async () => {
  server = await startOAuthServer();
  row = await addRow(server, 3);
});
afterAll(() => server.close());

const agent = (index: number) => row.agents[index]!;
const desk = (index: number) => row.desks[index]!;
interface Caller {
  readonly clientId: string;
  readonly key: TestKey;
}
const ask = async (path: '/introspect' | '/revoke', token: string, as: Caller) =>
  postForm(server, path, { token, ...(await clientAssertion(server, as.clientId, as.key)) });
const introspect = async (token: string, as: Caller) => (await ask('/introspect', token, as)).body;

/** What the first agent has for the second, and what the second made of it for the desk behind. */
async function hop(): Promise<{ from: string; token: string }> {
  const from = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource });
  return { from, token: tokenOf(await exchange(server, agent(1), { subject: from, resource: desk(2).resource })) };
}

test('T52: the guard at the audience of a hop learns who acts for whom, its agent too; who is further up does not', async () => {
  const { token } = await hop();
  const told = { active: true, client_id: agent(1).clientId, sub: row.requesterId, token_type: 'Bearer' };
  const act = { sub: agent(1).id, act: { sub: agent(0).id } };
  const task = { id: row.taskId, root: row.taskId, delegation: expect.stringMatching(/^dlg_/) };
  expect(await introspect(token, desk(2))).toMatchObject({ ...told, act, task });
  expect(await introspect(token, agent(1))).toMatchObject({ ...told, act, task });
  for (const other of [agent(0), agent(2), desk(1), desk(3)]) {
    expect(await introspect(token, other)).toEqual({ active: false });
  }
});

test('T56: the token of a hop is revoked by its agent alone, and what it was made from lives on', async () => {
  const { from, token } = await hop();
  for (const other of [agent(0), agent(2), desk(2)]) {
    expect((await ask('/revoke', token, other)).status).toBe(200);
    expect(await introspect(token, agent(1))).toMatchObject({ active: true });
  }
  expect((await ask('/revoke', token, agent(1))).status).toBe(200);
  expect(await introspect(token, desk(2))).toEqual({ active: false });
  expect(await introspect(from, desk(1))).toMatchObject({ active: true });
});

test('T51: a token is dead by its delegation as much as by itself', async () => {
  const { from, token } = await hop();
  const { task } = decodeJwt(token) as { task: { delegation: string } };
  await revokeDelegation(server.store, { delegationId: task.delegation, by, reason: '' });
  expect(await introspect(token, desk(2))).toEqual({ active: false });
  expect(await introspect(from, desk(1))).toMatchObject({ active: true });
});

test('T51: tokens of before a suspension stay dead when the agent is resumed, also those of agents below it', async () => {
  const { from, token } = await hop();
  await suspendAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  expect(await introspect(token, desk(2))).toEqual({ active: false });
  await resumeAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  expect(await introspect(from, desk(1))).toEqual({ active: false });
  expect(await introspect(token, desk(2))).toEqual({ active: false });
  const again = await exchange(server, agent(1), { subject: from, resource: desk(2).resource });
  expect(again.body).toMatchObject({
    error: 'invalid_request',
    error_description: expect.stringContaining('suspended'),
  });
  // As if the suspension was long ago: what is issued now works.
  await server.store.db
    .updateTable('agents')
    .set({ suspended_at: new Date(Date.now() - 60_000) })
    .where('id', '=', agent(0).id)
    .execute();
  expect(await introspect((await hop()).token, desk(2))).toMatchObject({ active: true });
});

test('T32, T51: when the first agent is offboarded, the tokens of all behind it are dead', async () => {
  const { token } = await hop();
  await offboardAgent(server.store, { agentId: agent(0).id, by, reason: '' });
  expect(await introspect(token, desk(2))).toEqual({ active: false });
  const next = await exchange(server, agent(2), { subject: token, resource: desk(3).resource });
  expect(next.body.error).toBe('invalid_request');
});
