import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ACCESS_TOKEN,
  addRow,
  approvePeers,
  eventsOf,
  exchange,
  ownToken,
  type Row,
  TOKEN_EXCHANGE,
  taskToken,
  tokenOf,
} from '../support/hops.ts';
import { obtainTokens } from '../support/oauth_flow.ts';
import { addPerson, newTestKey, type OAuthServer, signedInBrowser, startOAuthServer } from '../support/oauth_server.ts';

let server: OAuthServer;
let row: Row;

beforeAll(async () => {
  server = await startOAuthServer();
  row = await addRow(server, 3);
});
afterAll(() => server.close());

const agent = (index: number) => row.agents[index]!;
const desk = (index: number) => row.desks[index]!;
/** A token of the first agent for the address at which the second acts. */
const subject = () => taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource });

describe('the agent at the audience of a token takes the work on', () => {
  test('with a token of its own for the tool server behind it: for the same person, with both agents in it', async () => {
    const from = await subject();
    const answer = await exchange(server, agent(1), { subject: from, resource: desk(2).resource });
    expect(answer.body).toMatchObject({
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      scope: 'mcp:tools',
      authorization_details: [
        { type: 'mcp_task', task_id: row.taskId },
        { type: 'mcp_delegation', tools: ['read_file', 'write_file'], constraints: [], seconds: expect.any(Number) },
      ],
    });
    expect(answer.body).not.toHaveProperty('refresh_token');
    const claims = decodeJwt(tokenOf(answer));
    expect(claims).toMatchObject({
      sub: row.requesterId,
      client_id: agent(1).clientId,
      aud: desk(2).resource,
      task: { id: row.taskId, root: row.taskId, delegation: expect.stringMatching(/^dlg_/) },
      act: {
        sub: agent(1).id,
        client_id: agent(1).clientId,
        act: { sub: agent(0).id, client_id: agent(0).clientId },
      },
      authorization_details: [{ type: 'mcp_task', task_id: row.taskId }],
    });
    expect(claims.exp).toBeLessThanOrEqual(decodeJwt(from).exp!);
  });

  test('and the next one from there, down a row of three', async () => {
    const second = await exchange(server, agent(1), {
      subject: await subject(),
      resource: desk(2).resource,
      narrowing: { onward: [{ resource: desk(3).resource, tools: ['read_file'] }] },
    });
    const third = await exchange(server, agent(2), { subject: tokenOf(second), resource: desk(3).resource });
    expect(third.body.authorization_details).toMatchObject([{}, { tools: ['read_file'] }]);
    expect(decodeJwt(tokenOf(third))).toMatchObject({
      sub: row.requesterId,
      aud: desk(3).resource,
      act: { sub: agent(2).id, act: { sub: agent(1).id, act: { sub: agent(0).id } } },
    });
  });

  test('with its own token as the actor token, too', async () => {
    const actor = await ownToken(server, agent(1));
    const answer = await exchange(server, agent(1), { subject: await subject(), resource: desk(2).resource, actor });
    expect(decodeJwt(tokenOf(answer))).toMatchObject({ act: { sub: agent(1).id } });
  });

  test('bound to the key of its proof', async () => {
    const key = await newTestKey();
    const answer = await exchange(server, agent(1), { subject: await subject(), resource: desk(2).resource }, { key });
    expect(answer.body.token_type).toBe('DPoP');
    expect(decodeJwt(tokenOf(answer))).toMatchObject({ cnf: { jkt: key.thumbprint } });
  });
});

describe('the client of a token', () => {
  test('narrows it for itself: fewer tools, constraints and a shorter life, and no hop', async () => {
    const constraint = { tool: 'write_file', argument: '/path', must: { be: 'one_of', values: ['a.txt'] } };
    const answer = await exchange(server, agent(0), {
      subject: await subject(),
      resource: desk(2).resource,
      narrowing: { tools: ['write_file'], constraints: [constraint], seconds: 60 },
    });
    expect(answer.body.authorization_details).toMatchObject([
      {},
      { tools: ['write_file'], constraints: [constraint], seconds: expect.any(Number) },
    ]);
    const claims = decodeJwt(tokenOf(answer));
    expect(claims).toMatchObject({ act: { sub: agent(0).id }, aud: desk(2).resource });
    expect((claims.act as { act?: unknown }).act).toBeUndefined();
    expect(answer.body.expires_in).toBeLessThanOrEqual(60);
  });

  test('hands it to another agent by that agent’s token, bound to that agent’s key', async () => {
    const key = await newTestKey();
    const actor = await ownToken(server, agent(1), { key });
    const answer = await exchange(server, agent(0), { subject: await subject(), resource: desk(3).resource, actor });
    expect(answer.body.token_type).toBe('DPoP');
    expect(decodeJwt(tokenOf(answer))).toMatchObject({
      client_id: agent(1).clientId,
      cnf: { jkt: key.thumbprint },
      act: { sub: agent(1).id, act: { sub: agent(0).id } },
    });
  });

  test('proves the key of a bound token, and the narrower one is bound to it again', async () => {
    const key = await newTestKey();
    const bound = await taskToken(server, agent(0), { taskId: row.taskId, resource: desk(1).resource }, { key });
    const answer = await exchange(server, agent(0), { subject: bound, resource: desk(2).resource }, { key });
    expect(decodeJwt(tokenOf(answer))).toMatchObject({ cnf: { jkt: key.thumbprint } });
  });
});

describe('the same exchange again', () => {
  const delegationOf = (token: string) => (decodeJwt(token).task as { delegation: string }).delegation;
  const narrowing = { tools: ['write_file', 'read_file'], seconds: 600 };

  test('renews the token of the same delegation, in whatever order the tools are named', async () => {
    const once = async (changes: object) => {
      const fields = { subject: await subject(), resource: desk(2).resource, narrowing: { ...narrowing, ...changes } };
      return delegationOf(tokenOf(await exchange(server, agent(1), fields)));
    };
    const first = await once({});
    expect(await once({})).toBe(first);
    expect(await once({ tools: ['read_file', 'write_file'] })).toBe(first);
    expect(await once({ tools: ['read_file'] })).not.toBe(first);
    expect(await once({ seconds: 601 })).not.toBe(first);
  });

  test('makes one delegation when many ask at once', async () => {
    const from = await subject();
    const before = (await eventsOf(server.store, 'delegation.made')).length;
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        exchange(server, agent(1), { subject: from, resource: desk(2).resource, narrowing: { seconds: 111 } }),
      ),
    );
    expect(new Set(answers.map((answer) => delegationOf(tokenOf(answer)))).size).toBe(1);
    expect((await eventsOf(server.store, 'delegation.made')).length).toBe(before + 1);
  });

  test('makes a new one once the first has ended or was revoked, and neither moves its end', async () => {
    const ask = async () =>
      tokenOf(
        await exchange(server, agent(1), {
          subject: await subject(),
          resource: desk(2).resource,
          narrowing: { seconds: 500 },
        }),
      );
    const endOf = async (id: string) =>
      (
        await server.store.db
          .selectFrom('delegations')
          .select('expires_at')
          .where('id', '=', id)
          .executeTakeFirstOrThrow()
      ).expires_at;
    const first = delegationOf(await ask());
    const end = await endOf(first);
    await ask();
    expect(await endOf(first)).toEqual(end);
    const update = server.store.db.updateTable('delegations').where('id', '=', first);
    await update.set({ revoked_at: new Date() }).execute();
    const second = delegationOf(await ask());
    expect(second).not.toBe(first);
    await server.store.db.updateTable('delegations').where('id', '=', second).set({ expires_at: new Date() }).execute();
    expect(delegationOf(await ask())).not.toBe(second);
  });
});

test('a hop is recorded once, with what it was made by', async () => {
  const from = await subject();
  const answer = await exchange(server, agent(1), {
    subject: from,
    resource: desk(2).resource,
    narrowing: { tools: ['read_file'], seconds: 77 },
  });
  const { delegation } = decodeJwt(tokenOf(answer)).task as { delegation: string };
  const made = (await eventsOf(server.store, 'delegation.made')).filter((ids) => ids.delegation === delegation);
  expect(made).toEqual([
    expect.objectContaining({
      task: row.taskId,
      agent: agent(1).id,
      from_agent: agent(0).id,
      by: agent(1).id,
      by_kind: 'agent',
      requester: row.requesterId,
      depth: 1,
      tools: 1,
      token: decodeJwt(from).jti,
      policies: 'work-goes-to-approved-peers',
    }),
  ]);
});

test('on behalf of a person whose client asked at consent: how they signed in stays in the token', async () => {
  const personId = await addPerson(server.store, 'Ada');
  const browser = await signedInBrowser(server, personId);
  const tokens = await obtainTokens(server, browser, { resource: desk(1).resource });
  const client = await server.store.db
    .updateTable('agents')
    .set({ delegation_depth_max: 1 })
    .where('person_id', '=', personId)
    .returning(['id', 'client_id'])
    .executeTakeFirstOrThrow();
  await approvePeers(server.store, { ...agent(0), id: client.id }, agent(1));
  // The task is for one tool server, so the work can only go on there.
  const answer = await exchange(server, agent(1), { subject: tokens.accessToken, resource: desk(1).resource });
  const claims = decodeJwt(tokenOf(answer));
  expect(claims).toMatchObject({
    sub: personId,
    client_id: agent(1).clientId,
    act: { sub: agent(1).id, act: { sub: client.id, client_id: 'cli' } },
    amr: ['link'],
    auth_time: tokens.claims.auth_time,
  });
});

test('the grant is announced in the metadata of the issuer', async () => {
  const response = await fetch(`${server.issuer}/.well-known/oauth-authorization-server`);
  const metadata = (await response.json()) as { grant_types_supported: string[] };
  expect(metadata.grant_types_supported).toContain(TOKEN_EXCHANGE);
});
