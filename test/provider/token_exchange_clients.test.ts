import { calculateJwkThumbprint, decodeJwt, exportJWK, generateKeyPair } from 'jose';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ACCESS_TOKEN, addRow, type Row, TOKEN_EXCHANGE } from '../support/hops.ts';
import { type OAuthServer, startOAuthServer, type TestAgent } from '../support/oauth_server.ts';

// Clients that others wrote go the whole way by themselves: metadata, assertions, proofs, errors.

let server: OAuthServer;
let row: Row;

beforeAll(async () => {
  server = await startOAuthServer();
  row = await addRow(server, 3);
});
afterAll(() => server.close());

const agent = (index: number) => row.agents[index]!;
const resource = (index: number) => row.desks[index]!.resource;
const detail = (members: object) => JSON.stringify([members]);

const insecure = { [oauth.allowInsecureRequests]: true };

test('openid-client takes the work of a task down a row of agents', async () => {
  // Our assertions are for the issuer by name, which is what the client sends.
  const configure = (of: TestAgent) =>
    client.discovery(new URL(server.issuer), of.clientId, undefined, client.PrivateKeyJwt(of.key.privateKey), {
      algorithm: 'oauth2',
      execute: [client.allowInsecureRequests],
    });
  const first = await client.clientCredentialsGrant(await configure(agent(0)), {
    resource: resource(1),
    authorization_details: detail({ type: 'mcp_task', task_id: row.taskId }),
  });
  const second = await client.genericGrantRequest(await configure(agent(1)), TOKEN_EXCHANGE, {
    subject_token: first.access_token,
    subject_token_type: ACCESS_TOKEN,
    requested_token_type: ACCESS_TOKEN,
    resource: resource(2),
    scope: 'mcp:tools',
    authorization_details: detail({ type: 'mcp_delegation', onward: [{ resource: resource(3) }] }),
  });
  expect(second.issued_token_type).toBe(ACCESS_TOKEN);
  expect(second.refresh_token).toBeUndefined();
  expect(second.expires_in).toBeLessThanOrEqual(first.expires_in!);
  const third = await client.genericGrantRequest(await configure(agent(2)), TOKEN_EXCHANGE, {
    subject_token: second.access_token,
    subject_token_type: ACCESS_TOKEN,
    resource: resource(3),
    authorization_details: detail({ type: 'mcp_delegation', tools: ['read_file'] }),
  });
  expect(third.authorization_details).toMatchObject([{ type: 'mcp_task' }, { tools: ['read_file'] }]);
  expect(decodeJwt(third.access_token)).toMatchObject({
    sub: row.requesterId,
    aud: resource(3),
    act: { sub: agent(2).id, act: { sub: agent(1).id, act: { sub: agent(0).id } } },
  });
  const tooFar = client.genericGrantRequest(await configure(agent(1)), TOKEN_EXCHANGE, {
    subject_token: third.access_token,
    subject_token_type: ACCESS_TOKEN,
    resource: resource(3),
  });
  await expect(tooFar).rejects.toMatchObject({ error: 'invalid_target', status: 400 });
});

test('oauth4webapi hands work to an agent by its key, and keeps a bound token bound', async () => {
  const as = await oauth.processDiscoveryResponse(
    new URL(server.issuer),
    await oauth.discoveryRequest(new URL(server.issuer), { algorithm: 'oauth2', ...insecure }),
  );
  const proofs = () => generateKeyPair('ES256', { extractable: true });
  const [firstKeys, secondKeys] = [await proofs(), await proofs()];
  const request = async (
    of: TestAgent,
    keys: CryptoKeyPair,
    grantType: string,
    parameters: Record<string, string>,
  ): Promise<oauth.TokenEndpointResponse> => {
    const known: oauth.Client = { client_id: of.clientId };
    const response = await oauth.genericTokenEndpointRequest(
      as,
      known,
      oauth.PrivateKeyJwt(of.key.privateKey),
      grantType,
      parameters,
      { DPoP: oauth.DPoP(known, keys), ...insecure },
    );
    return oauth.processGenericTokenEndpointResponse(as, known, response);
  };
  const bound = await request(agent(0), firstKeys, 'client_credentials', {
    resource: resource(1),
    authorization_details: detail({ type: 'mcp_task', task_id: row.taskId }),
  });
  const actor = await request(agent(1), secondKeys, 'client_credentials', { resource: `${server.issuer}/api/v1` });
  const asked = {
    subject_token: bound.access_token,
    subject_token_type: ACCESS_TOKEN,
    actor_token: actor.access_token,
    actor_token_type: ACCESS_TOKEN,
    resource: resource(3),
  };
  const handed = await request(agent(0), firstKeys, TOKEN_EXCHANGE, asked);
  expect(handed.token_type).toBe('dpop');
  const { cnf } = decodeJwt(handed.access_token) as { cnf: { jkt: string } };
  expect(cnf.jkt).toBe(await calculateJwkThumbprint(await exportJWK(secondKeys.publicKey)));
  await expect(request(agent(0), secondKeys, TOKEN_EXCHANGE, asked)).rejects.toMatchObject({
    error: 'invalid_dpop_proof',
  });
});
