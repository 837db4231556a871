import { afterEach, beforeEach, expect, test } from 'vitest';
import { createGateway, type Gateway } from '../../src/gateway/index.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type GuardedServer, startGuardedServer } from '../guard/guarded_server.ts';
import { type Answer, messageTexts, rawServer, until } from './served_gateway.ts';

let gateway: Gateway;
let server: GuardedServer;

beforeEach(async () => {
  gateway = createGateway({ upstream: rawServer(), log: silentLogger });
  server = await startGuardedServer({
    guard: { deployment: gateway.deployment, tools: () => gateway.tools() },
    handler: () => gateway,
  });
  server.issuer.visible = (await gateway.tools()).map(({ name }) => name);
  gateway.onManifest(() => server.guard.toolsChanged());
});

afterEach(async () => {
  await server.close();
  await gateway.close();
});

async function answer(response: Response): Promise<Answer> {
  return JSON.parse((await messageTexts(response)).at(-1) ?? 'null');
}

/** The call with the approval that it needs. */
async function approvedCall(name: string, args: object, id = 1): Promise<Answer> {
  server.issuer.gated.add(name);
  await server.call(name, args, { id });
  server.issuer.decide(await server.issuer.nextOpen(), 'approved');
  return answer(await server.call(name, args, { id: id + 1 }));
}

test('what was approved is what the program gets, with the redemption as idempotency key', async () => {
  const { result } = await approvedCall('echo', { z: 1, a: ['é', 2] });
  const line: string = result.content[0].text;
  expect(line).toContain('"arguments":{"a":["é",2],"z":1}');
  expect(JSON.parse(line).params._meta).toEqual({ 'countersign/idempotency_key': expect.stringMatching(/^red_/) });
  await until(() => server.issuer.asked.some(({ what }) => what.endsWith('/outcome')));
  expect([...server.issuer.stepUps.values()][0]?.redemption?.outcome).toBe('done');
});

test('a program that dies in an approved call: the grant is used, the outcome unknown, and nothing runs again', async () => {
  const { result } = await approvedCall('crash', {});
  expect(result.isError).toBe(true);
  await until(() => server.issuer.asked.some(({ what }) => what.endsWith('/outcome')));
  const [stepUp] = server.issuer.stepUps.values();
  expect(stepUp?.redemption?.outcome).toBe('unknown');
  expect(stepUp?.usesLeft).toBe(0);
  const again = await answer(await server.call('crash', {}, { id: 9 }));
  expect(again.result._meta['countersign/replayed']).toMatchObject({ outcome: 'unknown' });
  expect(server.issuer.count('redeem')).toBe(1);
});

test('an error of the program is a failure, and its code and data reach the caller', async () => {
  const { error } = await approvedCall('fail', {});
  expect(error).toMatchObject({ code: -32055, data: { why: ['a', 1] } });
  await until(() => server.issuer.asked.some(({ what }) => what.endsWith('/outcome')));
  expect([...server.issuer.stepUps.values()][0]?.redemption?.outcome).toBe('failed');
});

test('an explicit cancel passes both and reaches the program', async () => {
  const slow = server.call('slow', { milliseconds: 20_000 }, { id: 77 });
  const counter = async () => JSON.parse((await answer(await server.call('counter', {}))).result.content[0].text);
  await until(async () => (await counter()).slow === 1);
  const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 77 } };
  expect((await server.post(JSON.stringify(cancelled))).status).toBe(202);
  await slow;
  await until(async () => (await counter()).cancelled.length === 1);
});

test('the guard registers the raw tools and hears of their changes', async () => {
  expect(server.issuer.count('manifest') + server.issuer.count('registrations')).toBeGreaterThan(0);
  const before = server.issuer.count('manifest');
  await server.call('change_self', {});
  await until(() => server.issuer.count('manifest') > before);
  const reported = server.issuer.asked.findLast(({ what }) => what === 'manifest')?.body.tools as { name: string }[];
  expect(reported.find(({ name }) => name === 'echo')).toMatchObject({ description: 'now something else' });
});
