import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { decideByScript } from '../../examples/demo/approver.ts';
import { type GuardVerdict, readStepUp, type Waiting } from '../../src/agent/index.ts';
import { revokeDelegation } from '../../src/tasks/revoke/revoke_delegation.ts';
import { answerOf } from '../guard/guarded_server.ts';
import { addPeer, approvePeers, exchange, type Peer, pair, taskToken, tokenOf } from '../support/hops.ts';
import { addTask } from '../support/oauth_server.ts';
import { type NotesServer, startNotes } from './guarded_notes.ts';
import { startWorld, type World } from './world.ts';

// A desk agent takes tickets; the clerk behind the desk writes notes for it at a tool server of its own.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let desk: NotesServer;
let archive: NotesServer;
let clerk: Peer;

beforeAll(async () => {
  world = await startWorld({ hasGateway: false });
  desk = await startNotes(world, { name: 'desk' });
  archive = await startNotes(world, { name: 'archive' });
  clerk = await addPeer(world.store, 0);
  await pair(world.store, { ...desk, id: desk.toolServerId } as never, clerk);
});
afterAll(async () => {
  await desk?.close();
  await archive?.close();
  await world?.close();
});

/** An agent that may hand work to the clerk, with a task for the operator. */
async function addCaller(): Promise<{ readonly agent: Peer; readonly taskId: string }> {
  const agent = await addPeer(world.store, 1);
  await approvePeers(world.store, agent, clerk);
  const taskId = await addTask(world.store, {
    agentId: agent.id,
    clientId: agent.clientId,
    requesterId: world.operatorId,
    tools: { [desk.toolServerId]: ['read_notes'], [archive.toolServerId]: ['read_notes', 'write_note'] },
  });
  return { agent, taskId };
}

/** What the clerk gets for the archive, with what it was called with at the desk. */
async function clerksToken({ agent, taskId }: Awaited<ReturnType<typeof addCaller>>): Promise<string> {
  const subject = await taskToken(world, agent, { taskId, resource: desk.resource });
  // The guard at the desk lets the call in; only then is there a token to exchange.
  expect((await desk.callRaw(subject, 'read_notes', '{}')).status).toBe(200);
  return tokenOf(await exchange(world, clerk, { subject, resource: archive.resource }));
}

async function write(token: string, text: string): Promise<GuardVerdict | 'ran'> {
  const answer = await answerOf(await archive.callRaw(token, 'write_note', JSON.stringify({ text })));
  const verdict = readStepUp(answer.result ?? answer.error);
  if (verdict !== null) return verdict;
  if (answer.result === undefined || answer.result.isError) throw new Error(JSON.stringify(answer));
  return 'ran';
}

test('what a person approves for the clerk of one agent runs once, for this agent and no other', async () => {
  const [one, other] = [await addCaller(), await addCaller()];
  const waiting = await write(await clerksToken(one), 'for one');
  expect(waiting).toMatchObject({ kind: 'waiting' });
  await decideByScript(world.operator, waiting as Waiting, 'approve');
  const asked = await write(await clerksToken(other), 'for one');
  expect(asked).toMatchObject({ kind: 'waiting' });
  expect((asked as Waiting).stepUpId).not.toBe((waiting as Waiting).stepUpId);
  expect(archive.runs).toEqual([]);
  // A new token of the same delegation: the approval goes on to hold.
  expect(await write(await clerksToken(one), 'for one')).toBe('ran');
  expect(archive.runs).toEqual([{ text: 'for one' }]);
  const redemptions = await world.store.db.selectFrom('redemptions').select('step_up_id').execute();
  expect(redemptions).toEqual([{ step_up_id: (waiting as Waiting).stepUpId }]);
});

test('a delegation that is revoked stops at the guard, and what it was exchanged for with it', async () => {
  const caller = await addCaller();
  const token = await clerksToken(caller);
  expect((await archive.callRaw(token, 'read_notes', '{}')).status).toBe(200);
  const { delegation } = decodeJwt(token).task as { delegation: string };
  const by = { kind: 'person', id: world.operatorId } as const;
  expect(await revokeDelegation(world.store, { delegationId: delegation, by, reason: '' })).toMatchObject({ ok: true });
  const refused = async () => (await archive.callRaw(token, 'read_notes', '{}')).status === 401;
  await vi.waitUntil(refused, { timeout: 10_000, interval: 20 });
  // The task of the caller goes on, and so does its own token.
  const subject = await taskToken(world, caller.agent, { taskId: caller.taskId, resource: archive.resource });
  expect((await archive.callRaw(subject, 'read_notes', '{}')).status).toBe(200);
});
