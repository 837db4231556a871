import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt, importJWK, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  ACCESS_TOKEN,
  addPeer,
  addRow,
  approvePeers,
  type ExchangeFields,
  exchange,
  ownToken,
  type Peer,
  pair,
  type Row,
  refusalsIn,
  TOKEN_EXCHANGE,
  taskToken,
  tokenOf,
} from '../support/hops.ts';
import { loadProviderKeys } from '../support/keys.ts';
import { clientAssertion, dpopProof, obtainTokens, postForm, type TokenAnswer } from '../support/oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addTask,
  addToolServer,
  newTestKey,
  type OAuthServer,
  signedInBrowser,
  startOAuthServer,
  type TestAgent,
} from '../support/oauth_server.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

// T30 to T32 of the attack catalogue: work handed on to somebody, or further, than anybody allowed.

let server: OAuthServer;
let row: Row;
let subject: string;

beforeAll(async () => {
  server = await startOAuthServer();
});
afterAll(() => server.close());
beforeEach(async () => {
  row = await addRow(server, 3);
  subject = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource });
});

const agent = (index: number) => row.agents[index]!;
const desk = (index: number) => row.desks[index]!;
const onward = () => desk(2).resource;

/** What the client is told, and the operator's word in the audit log. */
async function refusalOf(ask: () => Promise<TokenAnswer>): Promise<[string | undefined, string | undefined]> {
  const before = (await refusalsIn(server.store)).length;
  const { status, body } = await ask();
  if (status === 200) return [undefined, undefined];
  const recorded = (await refusalsIn(server.store)).slice(before);
  expect(recorded.length).toBeLessThanOrEqual(1);
  return [body.error, recorded[0]];
}

const take = (fields: Partial<ExchangeFields> = {}, by: TestAgent = agent(1)) =>
  refusalOf(() => exchange(server, by, { subject, resource: onward(), ...fields }));
const give = (fields: Partial<ExchangeFields> = {}) => take(fields, agent(0));

/** A token of our making, as somebody with another key would forge it. */
async function forged(token: string, changes: JWTPayload): Promise<string> {
  const { privateKey } = await newTestKey();
  const header = { alg: 'ES256', typ: 'at+jwt' };
  return new SignJWT({ ...decodeJwt(token), ...changes }).setProtectedHeader(header).sign(privateKey);
}

/** One that only a mistake of ours could make: with our own key. */
async function signedByUs(token: string, changes: JWTPayload, typ = 'at+jwt'): Promise<string> {
  const { tokenKeys } = await loadProviderKeys(server.store);
  const jwk = tokenKeys.keys[0]!;
  const header = { alg: 'ES256', typ, kid: jwk.kid! };
  return new SignJWT({ ...decodeJwt(token), ...changes })
    .setProtectedHeader(header)
    .sign(await importJWK(jwk, 'ES256'));
}

describe('T30: an agent token that claims to be a person, or another agent', () => {
  test('a token of a person’s task is no actor token, whoever sends it', async () => {
    const browser = await signedInBrowser(server, await addPerson(server.store));
    const { accessToken: persons } = await obtainTokens(server, browser, { resource: desk(1).resource });
    expect(await give({ actor: persons })).toEqual(['invalid_request', 'actor_invalid']);
    expect(await give({ actor: subject })).toEqual(['invalid_request', 'actor_invalid']);
    expect(await take({ actor: persons })).toEqual(['invalid_request', 'actor_invalid']);
  });

  test('an agent’s token in its own name is no subject: it names no task of anybody', async () => {
    const own = await ownToken(server, agent(1));
    expect(await take({ subject: own })).toEqual(['invalid_request', 'subject_invalid']);
  });

  test('an actor token with another audience, of another agent, changed, revoked or of another type is refused', async () => {
    const own = await ownToken(server, agent(1));
    const guards = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(2).resource });
    expect(await take({ actor: guards })).toEqual(['invalid_request', 'actor_invalid']);
    expect(await take({ actor: await ownToken(server, agent(2)) })).toEqual(['invalid_request', 'actor_foreign']);
    const claimsPerson = await forged(own, { sub: row.requesterId });
    expect(await take({ actor: claimsPerson })).toEqual(['invalid_request', 'actor_invalid']);
    const isPerson = await signedByUs(own, { sub: row.requesterId });
    expect(await take({ actor: isPerson })).toEqual(['invalid_request', 'actor_invalid']);
    expect(await give({ actor: isPerson })).toEqual(['invalid_request', 'actor_invalid']);
    const typed = { actor_token: own, actor_token_type: 'urn:ietf:params:oauth:token-type:id_token' };
    expect(await take({ more: typed })).toEqual(['invalid_request', 'request_malformed']);
    const { jti, exp } = decodeJwt(own);
    await server.store.db
      .insertInto('revoked_tokens')
      .values({ jti: jti!, expires_at: new Date(exp! * 1000) })
      .execute();
    expect(await take({ actor: own })).toEqual(['invalid_request', 'actor_invalid']);
  });

  test('the actor of work that is handed over must have a key, or whoever hands it over could use the token', async () => {
    const unbound = await ownToken(server, agent(1));
    expect(await give({ actor: unbound })).toEqual(['invalid_request', 'actor_not_bound']);
  });
});

describe('T31: a pair of agents that nothing lets exchange', () => {
  test('neither the client of the token nor the agent at its audience', async () => {
    const stranger = await addServiceAgent(server.store, row.requesterId);
    expect(await take({}, stranger)).toEqual(['invalid_target', 'not_paired']);
    // The agent two desks on is a peer of the one before it, and not of this token.
    expect(await take({}, agent(2))).toEqual(['invalid_target', 'not_paired']);
  });

  test('an agent whose address was taken from it, or is not active', async () => {
    await server.store.db
      .updateTable('tool_servers')
      .set({ state: 'suspended' })
      .where('id', '=', desk(1).id)
      .execute();
    expect(await take()).toEqual(['invalid_target', 'not_paired']);
    await server.store.db.updateTable('tool_servers').set({ state: 'active' }).where('id', '=', desk(1).id).execute();
    await pair(server.store, desk(1), await addPeer(server.store, 1));
    expect(await take()).toEqual(['invalid_target', 'not_paired']);
  });

  test.each(['to', 'from'] as const)('a hop of which the end “%s” is not approved', async (direction) => {
    const { store } = server;
    const end = direction === 'to' ? agent(0) : agent(1);
    await store.db
      .deleteFrom('agent_peers')
      .where('agent_id', '=', end.id)
      .where('direction', '=', direction)
      .execute();
    expect(await take()).toEqual(['invalid_target', 'peer_not_approved']);
    const actor = await ownToken(server, agent(1), { key: await newTestKey() });
    expect(await give({ actor })).toEqual(['invalid_target', 'peer_not_approved']);
  });

  test('the way back of a hop that is approved one way', async () => {
    const away = await addTask(server.store, {
      agentId: agent(1).id,
      clientId: agent(1).clientId,
      requesterId: row.requesterId,
      tools: { [desk(0).id]: ['read_file'] },
    });
    const back = await taskToken(server, agent(1), { taskId: away, resource: desk(0).resource });
    const fields = { subject: back, resource: desk(0).resource };
    expect(await take(fields, agent(0))).toEqual(['invalid_target', 'peer_not_approved']);
  });

  test('a tool server that is unknown, not active, not in the task, or named as an audience', async () => {
    expect(await take({ resource: 'http://localhost/nowhere' })).toEqual(['invalid_target', 'resource_unknown']);
    const pending = await addToolServer(server.store, 'pending');
    expect(await take({ resource: pending.resource })).toEqual(['invalid_target', 'resource_unknown']);
    const other = await addToolServer(server.store);
    expect(await take({ resource: other.resource })).toEqual(['invalid_target', 'resource_outside']);
    expect(await take({ more: { audience: 'crm' } })).toEqual(['invalid_target', 'resource_unknown']);
    const onwardTo = { onward: [{ resource: other.resource }] };
    expect(await take({ narrowing: onwardTo })).toEqual(['invalid_target', 'resource_outside']);
  });

  test('a tool server beyond the one that was handed on', async () => {
    const second = tokenOf(await exchange(server, agent(1), { subject, resource: onward() }));
    const fields = { subject: second, resource: desk(3).resource };
    expect(await take(fields, agent(2))).toEqual(['invalid_target', 'resource_outside']);
    expect(await take(fields, agent(1))).toEqual(['invalid_target', 'resource_outside']);
  });
});

describe('T31: without a policy that permits it', () => {
  async function withPolicies(text: string): Promise<[string | undefined, string | undefined, string | undefined]> {
    const folder = await makeScratchDirectory('policies');
    await writeFile(join(folder, 'test.cedar'), text);
    const other = await startOAuthServer({ policies: folder });
    try {
      const { agents, desks, taskId } = await addRow(other, 2);
      const [from, to] = [agents[0]!, agents[1]!];
      const token = await taskToken(other, from, { taskId, resource: desks[1]!.resource });
      const resource = desks[2]!.resource;
      const { body } = await exchange(other, to, { subject: token, resource, narrowing: { tools: ['write_file'] } });
      // What an agent narrows for itself is handed to nobody, so nobody is asked.
      expect((await exchange(other, from, { subject: token, resource })).status).toBe(200);
      return [body.error, body.error_description, (await refusalsIn(other.store))[0]];
    } finally {
      await other.close();
    }
  }

  test('nobody hands work on', async () => {
    const calls = '@id("calls") permit (principal, action == Action::"call", resource);';
    const description = 'No policy lets this agent hand work to that one.';
    expect(await withPolicies(calls)).toEqual(['invalid_target', description, 'policy_denied']);
  });

  test('nor what a forbid keeps, and it says why', async () => {
    const policies = `
      @id("all") permit (principal, action == Action::"delegate", resource);
      @id("reading") @reason("Only reading is handed on.")
      forbid (principal, action == Action::"delegate", resource) when { context.risks.contains("write") };`;
    expect(await withPolicies(policies)).toEqual(['invalid_target', 'Only reading is handed on.', 'policy_denied']);
  });
});

describe('T32: more than was handed on', () => {
  test('a wider scope', async () => {
    for (const scope of ['mcp:tools admin', 'tasks', 'offline_access', 'step_up:stp_x']) {
      expect(await take({ more: { scope } })).toEqual(['invalid_scope', 'scope_outside']);
    }
  });

  test('a tool that the task, the hop above or the agent itself may not have', async () => {
    expect(await take({ narrowing: { tools: ['erase_disk'] } })).toEqual([
      'invalid_authorization_details',
      'tool_outside',
    ]);
    const narrowed = tokenOf(
      await exchange(server, agent(0), {
        subject,
        resource: desk(1).resource,
        narrowing: { onward: [{ resource: onward(), tools: ['read_file'] }] },
      }),
    );
    const wider = { subject: narrowed, narrowing: { tools: ['read_file', 'write_file'] } };
    expect(await take(wider)).toEqual(['invalid_authorization_details', 'tool_outside']);
    const bound = JSON.stringify({ [desk(2).id]: ['write_file'] });
    await server.store.db.updateTable('agents').set({ bound }).where('id', '=', agent(1).id).execute();
    expect(await take({ narrowing: { tools: ['read_file'] } })).toEqual([
      'invalid_authorization_details',
      'tool_outside',
    ]);
    expect(await take({ subject: narrowed })).toEqual(['invalid_target', 'resource_outside']);
  });

  test('a later end: neither token nor delegation outlasts what it comes from', async () => {
    const short = await exchange(server, agent(0), {
      subject,
      resource: desk(1).resource,
      narrowing: { seconds: 30, onward: [{ resource: onward() }] },
    });
    const long = await exchange(server, agent(1), {
      subject: tokenOf(short),
      resource: onward(),
      narrowing: { seconds: 86_400 },
    });
    expect(decodeJwt(tokenOf(long)).exp).toBeLessThanOrEqual(decodeJwt(tokenOf(short)).exp!);
    const ends = await server.store.db
      .selectFrom('delegations')
      .select('expires_at')
      .where('task_id', '=', row.taskId)
      .where('kind', '=', 'exchange')
      .orderBy('created_at')
      .execute();
    expect(ends[1]!.expires_at).toEqual(ends[0]!.expires_at);
  });

  test('an expired token, one of another issuer, and one that is no access token', async () => {
    const past = Math.floor(Date.now() / 1000) - 1;
    expect(await take({ subject: await signedByUs(subject, {}) })).toEqual([undefined, undefined]);
    for (const token of [
      await signedByUs(subject, { exp: past }),
      await signedByUs(subject, { iss: 'https://other.example' }),
      await signedByUs(subject, {}, 'JWT'),
      await forged(subject, {}),
    ]) {
      expect(await take({ subject: token })).toEqual(['invalid_request', 'subject_invalid']);
    }
  });

  test('an elevated token: what a person approved for one call is never handed on', async () => {
    for (const changes of [{ txn: 'txn_1' }, { scope: 'mcp:tools step_up:stp_1' }]) {
      const elevated = await signedByUs(subject, changes);
      expect(await take({ subject: elevated })).toEqual(['invalid_request', 'subject_elevated']);
    }
  });

  test('one hop more than an agent of the chain allows', async () => {
    const { db } = server.store;
    const second = tokenOf(
      await exchange(server, agent(1), {
        subject,
        resource: onward(),
        narrowing: { onward: [{ resource: desk(3).resource }] },
      }),
    );
    const depth = (max: number, of: Peer) =>
      db.updateTable('agents').set({ delegation_depth_max: max }).where('id', '=', of.id).execute();
    const third = { subject: second, resource: desk(3).resource };
    await depth(1, agent(0));
    expect(await take(third, agent(2))).toEqual(['invalid_request', 'too_deep']);
    await depth(2, agent(0));
    await depth(0, agent(1));
    expect(await take(third, agent(2))).toEqual(['invalid_request', 'too_deep']);
    await depth(0, agent(0));
    expect(await take()).toEqual(['invalid_request', 'too_deep']);
  });

  test('a circle, by a hop back to an agent that is in the chain', async () => {
    await approvePeers(server.store, agent(1), agent(0));
    await pair(server.store, desk(2), agent(0));
    const second = tokenOf(await exchange(server, agent(1), { subject, resource: onward() }));
    const back = { subject: second, resource: onward() };
    expect(await take(back, agent(0))).toEqual(['invalid_request', 'looped']);
    const actor = await ownToken(server, agent(0), { key: await newTestKey() });
    expect(await take({ ...back, actor })).toEqual(['invalid_request', 'looped']);
  });

  test('a token with a chain of actors that is not that of its delegation', async () => {
    const { delegation } = decodeJwt(tokenOf(await exchange(server, agent(1), { subject, resource: onward() })))
      .task as { delegation: string };
    for (const changes of [
      { act: { sub: agent(2).id, client_id: agent(2).clientId } },
      { act: { sub: agent(0).id, act: { sub: agent(1).id } } },
      { act: { sub: agent(1).id, act: { sub: agent(2).id } }, task: { id: row.taskId, root: row.taskId, delegation } },
      { task: { id: row.taskId, root: row.taskId, delegation } },
      { sub: 'prs_somebody' },
      { task: { id: 'tsk_other', root: 'tsk_other' } },
    ]) {
      const token = await signedByUs(subject, changes);
      expect(await take({ subject: token }), JSON.stringify(changes)).toEqual(['invalid_request', 'subject_ended']);
      expect(await take({ subject: await forged(subject, changes) })).toEqual(['invalid_request', 'subject_invalid']);
    }
  });

  test('a parent that was revoked, ended or lost somebody it hangs on', async () => {
    const { db } = server.store;
    const second = tokenOf(
      await exchange(server, agent(1), {
        subject,
        resource: onward(),
        narrowing: { onward: [{ resource: desk(3).resource }] },
      }),
    );
    const attempt = () => take({ subject: second, resource: desk(3).resource }, agent(2));
    const { delegation } = decodeJwt(second).task as { delegation: string };
    const revoke = (at: Date | null) =>
      db.updateTable('delegations').set({ revoked_at: at }).where('id', '=', delegation).execute();
    await revoke(new Date());
    expect(await attempt()).toEqual(['invalid_request', 'subject_ended']);
    await revoke(null);
    for (const [table, id, dead, alive] of [
      ['agents', agent(0).id, 'suspended', 'active'],
      ['agents', agent(1).id, 'offboarded', 'active'],
      ['people', agent(0).ownerId, 'disabled', 'active'],
      ['people', row.requesterId, 'disabled', 'active'],
      ['tasks', row.taskId, 'cancelled', 'active'],
    ] as const) {
      const set = (state: string) =>
        db
          .updateTable(table)
          .set({ state: state as never })
          .where('id', '=', id)
          .execute();
      await set(dead);
      expect(await attempt(), `${table} ${dead}`).toEqual(['invalid_request', 'subject_ended']);
      await set(alive);
    }
    await db.updateTable('agents').set({ state: 'suspended' }).where('id', '=', agent(2).id).execute();
    expect(await attempt()).toEqual(['invalid_request', 'taker_inactive']);
    await db.updateTable('agents').set({ state: 'active' }).where('id', '=', agent(2).id).execute();
    await db.updateTable('people').set({ state: 'disabled' }).where('id', '=', agent(2).ownerId).execute();
    expect(await attempt()).toEqual(['invalid_request', 'taker_inactive']);
  });

  test('a token that was revoked by itself', async () => {
    const assertion = await clientAssertion(server, agent(0).clientId, agent(0).key);
    await postForm(server, '/revoke', { token: subject, ...assertion });
    expect(await take()).toEqual(['invalid_request', 'subject_ended']);
  });
});

describe('keys', () => {
  test('whoever steals a bound token cannot exchange it as its client', async () => {
    const key = await newTestKey();
    const bound = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource }, { key });
    expect(await give({ subject: bound })).toEqual(['invalid_dpop_proof', 'key_not_proven']);
    const other = await newTestKey();
    const byOther = () => exchange(server, agent(0), { subject: bound, resource: onward() }, { key: other });
    expect(await refusalOf(byOther)).toEqual(['invalid_dpop_proof', 'key_not_proven']);
  });

  test('an actor token that is bound is good with its key only', async () => {
    const actor = await ownToken(server, agent(1), { key: await newTestKey() });
    expect(await take({ actor })).toEqual(['invalid_dpop_proof', 'key_not_proven']);
  });

  test('a proof that comes again is refused', async () => {
    const actor = await ownToken(server, agent(1));
    const assertion = () => clientAssertion(server, agent(1).clientId, agent(1).key);
    const DPoP = await dpopProof(server, await newTestKey());
    const fields = {
      grant_type: TOKEN_EXCHANGE,
      subject_token: subject,
      subject_token_type: ACCESS_TOKEN,
      actor_token: actor,
      actor_token_type: ACCESS_TOKEN,
      resource: onward(),
    };
    expect((await postForm(server, '/token', { ...fields, ...(await assertion()) }, { DPoP })).status).toBe(200);
    const again = async () => postForm(server, '/token', { ...fields, ...(await assertion()) }, { DPoP });
    expect(await refusalOf(again)).toEqual(['invalid_dpop_proof', 'key_not_proven']);
  });

  test('an agent that has bound tokens only takes no bearer token', async () => {
    await server.store.db.updateTable('agents').set({ dpop_required: true }).where('id', '=', agent(1).id).execute();
    const answer = await exchange(server, agent(1), { subject, resource: onward() });
    expect(answer.body.error).toBe('invalid_dpop_proof');
    const key = await newTestKey();
    expect((await exchange(server, agent(1), { subject, resource: onward() }, { key })).body.token_type).toBe('DPoP');
  });
});

describe('requests that are none', () => {
  test.each([
    [{ subject_token: '' }, 'request_malformed'],
    [{ subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }, 'request_malformed'],
    [{ requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }, 'request_malformed'],
    [{ actor_token_type: ACCESS_TOKEN }, 'request_malformed'],
    [{ subject_token: 'x.y.z' }, 'subject_invalid'],
  ])('%j', async (more, reason) => {
    expect(await take({ more })).toEqual(['invalid_request', reason]);
  });

  test.each([
    { tools: [] },
    { tools: [1] },
    { seconds: 0 },
    { seconds: 1.5 },
    { sub: 'prs_x' },
    { constraints: [{ tool: 'read_file', argument: 'path', must: { be: 'absent' } }] },
    { constraints: [{ tool: 'read_file', argument: '/path', must: { be: 'one_of', values: ['\u0000'] } }] },
  ])('mcp_delegation %j', async (narrowing) => {
    const [error] = await take({ narrowing });
    expect(error).toBe('invalid_authorization_details');
  });

  test('constraints on a tool that is not handed on, and two details', async () => {
    const constraints = [{ tool: 'write_file', argument: '/path', must: { be: 'absent' } }];
    const narrowing = { tools: ['read_file'], constraints };
    expect(await take({ narrowing })).toEqual(['invalid_authorization_details', 'constraint_outside']);
    const twice = JSON.stringify([{ type: 'mcp_delegation' }, { type: 'mcp_delegation' }]);
    expect(await take({ more: { authorization_details: twice } })).toEqual([
      'invalid_authorization_details',
      undefined,
    ]);
    const elsewhere = await postForm(server, '/token', {
      grant_type: 'client_credentials',
      resource: onward(),
      authorization_details: JSON.stringify([{ type: 'mcp_delegation' }]),
      ...(await clientAssertion(server, agent(0).clientId, agent(0).key)),
    });
    expect(elsewhere.body.error).toBe('invalid_authorization_details');
  });

  test('many of them make the client wait', async () => {
    const stranger = await addServiceAgent(server.store, row.requesterId);
    const answers = [];
    for (let round = 0; round < 61; round += 1) {
      answers.push(await exchange(server, stranger, { subject, resource: onward() }));
    }
    expect(answers[0]!.status).toBe(400);
    expect(answers.at(-1)!.status).toBe(429);
  });
});
