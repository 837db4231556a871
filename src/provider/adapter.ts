import { type Adapter, type AdapterFactory, type AdapterPayload, errors } from 'oidc-provider';
import type { JsonObject } from '../kernel/json.ts';
import type { ArtifactStore } from '../store/artifacts.ts';
import type { ClientSource } from './clients.ts';

export interface Artifacts {
  /** Must survive a restart: refresh tokens and Grants. */
  readonly durable: ArtifactStore;
  /** May be lost: sessions, interactions, codes. Whoever is under way starts again. */
  readonly ephemeral: ArtifactStore;
}

const DURABLE = new Set(['RefreshToken', 'Grant', 'InitialAccessToken', 'RegistrationAccessToken']);

/**
 * The engine's storage adapter. It makes atomic what the engine does in two steps: of many that consume one artifact,
 * one goes on and all others are told `invalid_grant`; nothing is saved for a grant that was revoked meanwhile.
 */
export function createAdapterFactory(artifacts: Artifacts, clients: ClientSource): AdapterFactory {
  return (kind) =>
    kind === 'Client'
      ? clientAdapter(clients)
      : artifactAdapter(kind, DURABLE.has(kind) ? artifacts.durable : artifacts.ephemeral);
}

function artifactAdapter(kind: string, store: ArtifactStore): Adapter {
  const read = async (found: ReturnType<ArtifactStore['find']>): Promise<AdapterPayload | undefined> => {
    const artifact = await found;
    if (artifact === undefined) return undefined;
    const payload = artifact.payload as AdapterPayload;
    return artifact.consumedAt === undefined ? payload : { ...payload, consumed: artifact.consumedAt };
  };
  return {
    async upsert(id, payload, expiresIn) {
      const grantId = kind === 'Grant' ? id : payload.grantId;
      const record = {
        payload: payload as unknown as JsonObject,
        ...(grantId === undefined ? {} : { grantId }),
        ...(payload.uid === undefined ? {} : { uid: payload.uid }),
        ...(payload.userCode === undefined ? {} : { userCode: payload.userCode }),
      };
      const outcome = await store.save(kind, id, record, Number.isFinite(expiresIn) ? expiresIn : undefined);
      // The winner of a race may be told of success although a loser has just revoked the family: what it is given is
      // dead at birth, as if the family had been revoked a moment after the answer.
      if (outcome === 'grant_revoked' && kind === 'RefreshToken') return;
      if (outcome !== 'saved') throw new errors.InvalidGrant(`${kind} was not saved: ${outcome}`);
    },
    find: (id) => read(store.find(kind, id)),
    findByUid: (uid) => read(store.findByUid(kind, uid)),
    findByUserCode: (userCode) => read(store.findByUserCode(kind, userCode)),
    async consume(id) {
      const outcome = await store.consume(kind, id);
      if (outcome !== 'consumed') throw new AlreadyConsumed();
    },
    destroy: (id) => store.destroy(kind, id),
    revokeByGrantId: (grantId) => store.revokeByGrant(grantId),
  };
}

/** Somebody else consumed it between the look and the step. */
export class AlreadyConsumed extends errors.InvalidGrant {
  constructor() {
    super('already consumed');
  }
}

function clientAdapter(clients: ClientSource): Adapter {
  const absent = async () => undefined;
  return {
    find: (id) => clients.find(id),
    upsert: (id, payload) => clients.register(id, payload),
    findByUid: absent,
    findByUserCode: absent,
    consume: absent,
    destroy: absent,
    revokeByGrantId: absent,
  };
}
