import { calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { newId, newSecret } from '../kernel/ids.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import type { RegistrationRequest } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { PENDING_REGISTRATIONS_MAX } from './limits.ts';
import { type ListedTool, readManifest, riskOf } from './manifest.ts';
import { canonicalResource, type ToolServer } from './tool_servers.ts';

/**
 * A guard asks to be registered. Nothing is granted by it: an administrator compares the key and accepts. Asking again
 * with the same name, resource and key gives the same registration; with another key it is refused.
 */
export async function proposeToolServer(
  store: Store,
  request: RegistrationRequest,
): Promise<Result<ToolServer, Refusal>> {
  const resource = canonicalResource(request.resource);
  if (resource === undefined) {
    return refused(
      refusal('request_invalid', 'The resource must be an http(s) URL without user, password or fragment.'),
    );
  }
  const manifest = readManifest(request.tools as JsonObject[]);
  if (!manifest.ok) return manifest;
  const key = await readGuardKey(request.jwk as JsonObject);
  if (!key.ok) return key;
  return transact(store, (tx, afterCommit) =>
    insert(store, tx, afterCommit, request, resource, manifest.value, key.value),
  );
}

async function insert(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  request: RegistrationRequest,
  resource: string,
  tools: readonly ListedTool[],
  key: { jwk: JWK; thumbprint: string },
): Promise<Result<ToolServer, Refusal>> {
  // One at a time: two that ask for one name at once would both find it free, and all would find one place left.
  await sql`select pg_advisory_xact_lock(hashtextextended('tool-server-registration', 0))`.execute(tx);
  const known = await tx
    .selectFrom('tool_servers')
    .selectAll()
    .where((or) => or.or([or('name', '=', request.name), or('resource', '=', resource)]))
    .forUpdate()
    .execute();
  const same = known.find((row) => row.name === request.name && row.resource === resource);
  if (same?.key_thumbprint === key.thumbprint && same.deployment === request.deployment) return accepted(same);
  if (known.length > 0) return refused(nameTaken(request, resource, same));
  const { count } = await tx
    .selectFrom('tool_servers')
    .select(tx.fn.countAll<number>().as('count'))
    .where('state', '=', 'pending')
    .executeTakeFirstOrThrow();
  if (count >= PENDING_REGISTRATIONS_MAX) {
    return refused(
      refusal(
        'rate_limited',
        `${PENDING_REGISTRATIONS_MAX} tool servers wait to be accepted already. Accept or reject some first.`,
      ),
    );
  }
  const row = await insertRows(tx, request, resource, tools, key);
  await append(store, tx, afterCommit, {
    kind: 'tool_server.proposed',
    ids: { tool_server: row.id, resource, key_thumbprint: key.thumbprint },
  });
  return accepted(row);
}

async function insertRows(
  tx: Tx,
  request: RegistrationRequest,
  resource: string,
  tools: readonly ListedTool[],
  key: { jwk: JWK; thumbprint: string },
): Promise<ToolServer> {
  const id = newId('tsv');
  const clientId = `guard-${id}`;
  await insertGuardClient(tx, clientId, request.name, key.jwk);
  const row = await tx
    .insertInto('tool_servers')
    .values({
      id,
      name: request.name,
      resource,
      state: 'pending',
      deployment: request.deployment,
      client_id: clientId,
      registration_nonce: newSecret(),
      key_thumbprint: key.thumbprint,
      owner_id: null,
      accepted_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  if (tools.length > 0) {
    await tx
      .insertInto('tools')
      .values(
        tools.map((tool) => ({
          tool_server_id: id,
          name: tool.name,
          state: 'proposed' as const,
          definition: JSON.stringify(tool.definition),
          digest: tool.digest,
          risk: riskOf(tool.name, request.proposed_risks),
          proposed_definition: null,
          proposed_digest: null,
          proposed_risk: null,
        })),
      )
      .execute();
  }
  return row;
}

function nameTaken(request: RegistrationRequest, resource: string, same: ToolServer | undefined): Refusal {
  if (same !== undefined) {
    return refusal(
      'conflict',
      `"${request.name}" at ${resource} is registered with another key or another deployment. Use the key file it was ` +
        'registered with, or choose another name and address.',
    );
  }
  return refusal('conflict', `The name "${request.name}" or the address ${resource} is taken by another tool server.`);
}

async function insertGuardClient(tx: Tx, clientId: string, name: string, jwk: JWK): Promise<void> {
  const metadata = {
    client_name: `Guard of ${name}`,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    dpop_bound_access_tokens: true,
    jwks: { keys: [jwk] },
  };
  await tx
    .insertInto('oauth_clients')
    .values({ client_id: clientId, source: 'guard', metadata: JSON.stringify(metadata) })
    .execute();
}

async function readGuardKey(jwk: JsonObject): Promise<Result<{ jwk: JWK; thumbprint: string }, Refusal>> {
  const { kty, crv, x, y } = jwk;
  if (kty !== 'EC' || crv !== 'P-256' || typeof x !== 'string' || typeof y !== 'string' || 'd' in jwk) {
    return refused(
      refusal('request_invalid', 'The key of a guard must be a public P-256 key (ES256) as a JWK, without "d".'),
    );
  }
  const publicKey = { kty, crv, x, y };
  try {
    await importJWK(publicKey, 'ES256');
  } catch {
    return refused(refusal('request_invalid', 'The key of the guard is no point of the curve P-256.'));
  }
  const thumbprint = await calculateJwkThumbprint(publicKey);
  return accepted({ jwk: { ...publicKey, kid: thumbprint, alg: 'ES256', use: 'sig' }, thumbprint });
}
