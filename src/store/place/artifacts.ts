import type { ArtifactKind, ArtifactStore } from '../artifacts.ts';

/** What an epoch in PostgreSQL keeps of artifacts that may be lost: in the durable store, under kinds of its own. */
export function artifactsOfEpoch(durable: ArtifactStore, epochId: () => string): ArtifactStore {
  const own = (kind: ArtifactKind) => `${epochId()}/${kind}`;
  return {
    save: (kind, ...rest) => durable.save(own(kind), ...rest),
    saveNew: (kind, ...rest) => durable.saveNew(own(kind), ...rest),
    find: (kind, id) => durable.find(own(kind), id),
    findByUid: (kind, uid) => durable.findByUid(own(kind), uid),
    findByUserCode: (kind, userCode) => durable.findByUserCode(own(kind), userCode),
    consume: (kind, id) => durable.consume(own(kind), id),
    destroy: (kind, id) => durable.destroy(own(kind), id),
    revokeByGrant: (grantId) => durable.revokeByGrant(grantId),
  };
}

/** The artifact port wherever the memory is: `run` picks the place, and another one when that fails. */
export function createPlacedArtifactStore(
  run: <Value>(work: (store: ArtifactStore) => Promise<Value>) => Promise<Value>,
): ArtifactStore {
  return {
    save: (...args) => run((store) => store.save(...args)),
    saveNew: (...args) => run((store) => store.saveNew(...args)),
    find: (...args) => run((store) => store.find(...args)),
    findByUid: (...args) => run((store) => store.findByUid(...args)),
    findByUserCode: (...args) => run((store) => store.findByUserCode(...args)),
    consume: (...args) => run((store) => store.consume(...args)),
    destroy: (...args) => run((store) => store.destroy(...args)),
    revokeByGrant: (...args) => run((store) => store.revokeByGrant(...args)),
  };
}
