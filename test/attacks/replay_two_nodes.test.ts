import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { freePort } from '../../src/cli/free_port.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { Store } from '../../src/store/store.ts';
import { singleRedis } from '../faults/shared_servers.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { ForeignIssuer } from '../support/foreign_issuer.ts';
import {
  addPerson,
  addServiceAgent,
  addToolServer,
  newTestKey,
  type TestAgent,
  type TestKey,
  type TestToolServer,
} from '../support/oauth_server.ts';
import { TestRedis } from '../support/redis.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { writeServeConfig } from '../support/serve_config.ts';

// T20 with two `countersign serve` processes on one database and one Redis: what one of them accepted, the other refuses.

const SUBJECT = 'repo:acme/shop:environment:production';

let redis: TestRedis;
let database: TestDatabase;
let platform: ForeignIssuer;
let issuer: string;
let nodes: Part<ServerReady>[] = [];
let ports: number[];
let agent: TestAgent;
let toolServer: TestToolServer;

beforeAll(async () => {
  [redis, database, platform] = await Promise.all([TestRedis.open(), createTestDatabase(), ForeignIssuer.start()]);
  ports = [await freePort(), await freePort()];
  issuer = `http://localhost:${ports[0]}`;
  const config = await writeServeConfig(await makeScratchDirectory('two-nodes'), {
    issuerPort: ports[0]!,
    connection: database.connection,
    more: [
      singleRedis(redis.port),
      'dpop: { nonces: required }',
      'federation:',
      `  workload_issuers: [{ issuer: "${platform.issuer}", audience: countersign }]`,
      `  identity_assertion_issuers: [{ issuer: "${platform.issuer}" }]`,
    ],
  });
  for (const port of ports) {
    nodes.push(await startPart<ServerReady>(['serve', '--config', config, '--port', String(port)]));
  }
  const store = { db: database.db } as Store;
  const personId = await addPerson(store);
  agent = await addServiceAgent(store, personId);
  toolServer = await addToolServer(store);
  await database.db
    .insertInto('identities')
    .values({ issuer: platform.issuer, subject: 'ada', person_id: personId })
    .execute();
  await database.db
    .insertInto('agent_workloads')
    .values({
      id: newId('wkl'),
      agent_id: agent.id,
      issuer: platform.issuer,
      audience: 'countersign',
      subject: SUBJECT,
      created_by: personId,
    })
    .execute();
}, 120_000);
afterAll(async () => {
  for (const node of nodes) await node.stop();
  nodes = [];
  await platform?.stop();
  await redis?.kill();
  await database?.drop();
});

interface Answer {
  readonly status: number;
  readonly nonce: string | undefined;
  readonly body: { readonly access_token?: string; readonly error?: string; readonly error_description?: string };
}

/** To one of the nodes, as a load balancer would. */
async function token(
  node: 0 | 1,
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = await request(`http://127.0.0.1:${ports[node]}/token`, {
    method: 'POST',
    headers: {
      host: `localhost:${ports[0]}`,
      'content-type': 'application/x-www-form-urlencoded',
      ...headers,
    },
    body: Buffer.from(new URLSearchParams(fields).toString()),
  });
  const nonce = answer.headers['dpop-nonce'];
  return {
    status: answer.statusCode,
    nonce: typeof nonce === 'string' ? nonce : undefined,
    body: (await answer.body.json()) as Answer['body'],
  };
}

async function ownAssertion(): Promise<Record<string, string>> {
  const assertion = await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(agent.clientId)
    .setSubject(agent.clientId)
    .setAudience(issuer)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime('60s')
    .sign(agent.key.privateKey);
  return {
    grant_type: 'client_credentials',
    resource: `${issuer}/api/v1`,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  };
}

function proofOf(key: TestKey, claims: Record<string, unknown>): Promise<string> {
  return new SignJWT({ htm: 'POST', htu: `${issuer}/token`, jti: randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.publicJwk })
    .setIssuedAt()
    .sign(key.privateKey);
}

test('T20: a DPoP proof that one node accepted is refused by the other; nonces of either are known to both', async () => {
  const key = await newTestKey();
  const without = await token(0, await ownAssertion(), { dpop: await proofOf(key, {}) });
  expect(without).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' }, nonce: expect.any(String) });
  const proof = await proofOf(key, { nonce: without.nonce });
  const first = await token(1, await ownAssertion(), { dpop: proof });
  expect(first.status, JSON.stringify(first.body)).toBe(200);
  const again = await token(0, await ownAssertion(), { dpop: proof });
  expect(again.status).toBe(400);
  expect(again.body.error).toBe('invalid_dpop_proof');
  const made = await proofOf(key, { nonce: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' });
  expect((await token(0, await ownAssertion(), { dpop: made })).body.error).toBe('use_dpop_nonce');
});

test.each<
  ['a client assertion' | "a platform's token" | 'an identity assertion', () => Promise<Record<string, string>>]
>([
  ['a client assertion', ownAssertion],
  [
    "a platform's token",
    async () => ({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      resource: toolServer.resource,
      assertion: await platform.mint({ claims: { sub: SUBJECT, aud: 'countersign' } }),
    }),
  ],
  [
    'an identity assertion',
    async () => ({
      ...(await ownAssertion()),
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      resource: toolServer.resource,
      assertion: await platform.mint({
        header: { typ: 'oauth-id-jag+jwt' },
        claims: { sub: 'ada', aud: issuer, client_id: agent.clientId, resource: toolServer.resource },
      }),
    }),
  ],
])('%s that one node accepted is refused by the other', async (what, fields) => {
  const form = await fields();
  const first = await token(0, form);
  expect(first.status, JSON.stringify(first.body)).toBe(200);
  // The client's own assertion is new each time, so that only the other one can be what is refused.
  const fresh = what === 'an identity assertion' ? { client_assertion: (await ownAssertion()).client_assertion! } : {};
  const again = await token(1, { ...form, ...fresh });
  expect(again.status).toBeGreaterThanOrEqual(400);
  expect(again.body.error).toBe(what === 'a client assertion' ? 'invalid_client' : 'invalid_grant');
});

test('of 20 that present one token of a platform at both nodes at once, one gets a token', async () => {
  const assertion = await platform.mint({ claims: { sub: SUBJECT, aud: 'countersign' } });
  const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', resource: toolServer.resource, assertion };
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => token((index % 2) as 0 | 1, grant)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
});
