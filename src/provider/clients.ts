import type { AdapterPayload, ClientMetadata } from 'oidc-provider';
import { append } from '../events/append.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { JWT_BEARER_GRANT } from '../wire/identity_assertion_id_jag_04.ts';
import type { ClientKeys } from './client_keys.ts';
import { TOKEN_EXCHANGE_GRANT } from './grants/delegation_detail.ts';

/** Where the engine looks clients up: the configuration, then the table. Clients known by a document (CIMD) come after. */
export interface ClientSource {
  find(clientId: string): Promise<AdapterPayload | undefined>;
  /** Keeps a client that registered itself (RFC 7591). */
  register(clientId: string, metadata: AdapterPayload): Promise<void>;
}

/**
 * What a kind of client is never free to choose, whatever its row says: guards prove possession of a key with every
 * token (design §3, Principals), and no machine of ours has a shared secret.
 */
const FORCED = {
  registered: {},
  guard: {
    token_endpoint_auth_method: 'private_key_jwt',
    dpop_bound_access_tokens: true,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    authorization_details_types: [],
  },
  agent: {
    token_endpoint_auth_method: 'private_key_jwt',
    grant_types: ['client_credentials', TOKEN_EXCHANGE_GRANT],
    response_types: [],
    redirect_uris: [],
    authorization_details_types: ['mcp_task', 'mcp_delegation'],
  },
} as const satisfies Record<string, Partial<Record<keyof ClientMetadata, unknown>>>;

export interface ClientSourceOptions {
  readonly store: Store;
  /** Clients of the configuration, by client id. */
  readonly clients: readonly ClientMetadata[];
  /** Runs before every look-up; throws to refuse the request. */
  readonly beforeFind: (clientId: string) => Promise<void>;
  readonly clientKeys: ClientKeys;
  /** Whether identity assertions are accepted from anybody. */
  readonly hasAssertions: boolean;
}

export function createClientSource(options: ClientSourceOptions): ClientSource {
  const { store, clients, beforeFind, clientKeys } = options;
  const configured = new Map(clients.map((client) => [client.client_id, client]));
  return {
    async find(clientId) {
      await beforeFind(clientId);
      const fromConfiguration = configured.get(clientId);
      if (fromConfiguration !== undefined) return fromConfiguration as AdapterPayload;
      const row = await store.db
        .selectFrom('oauth_clients')
        .select(['source', 'metadata'])
        .where('client_id', '=', clientId)
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const metadata = await clientKeys(clientId, row.metadata);
      const forced = forcedMetadata(row.source, options);
      return { ...metadata, ...forced, client_id: clientId } as unknown as AdapterPayload;
    },
    async register(clientId, metadata) {
      await transact(store, async (tx, afterCommit) => {
        await tx
          .insertInto('oauth_clients')
          .values({ client_id: clientId, source: 'registered', metadata: JSON.stringify(metadata) })
          .execute();
        await append(store, tx, afterCommit, { kind: 'client.registered', ids: { client: clientId } });
      });
    },
  };
}

function forcedMetadata(source: keyof typeof FORCED, { hasAssertions }: Pick<ClientSourceOptions, 'hasAssertions'>) {
  const forced = FORCED[source];
  if (source !== 'agent' || !hasAssertions) return forced;
  return { ...forced, grant_types: [...FORCED.agent.grant_types, JWT_BEARER_GRANT] };
}
