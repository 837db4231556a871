import { describe, expect, it } from 'vitest';
import type { ArtifactStore } from '../../src/store/artifacts.ts';

export interface ArtifactContractSubject {
  readonly store: ArtifactStore;
  /** Lets this much time pass for the store. */
  advance(milliseconds: number): Promise<void>;
}

/** What every `ArtifactStore` must do. `open` is called once per test, for a store that may hold others' records. */
export function artifactContract(name: string, open: () => Promise<ArtifactContractSubject>): void {
  let next = 0;
  const newName = (what: string) => `${what}-${next++}-${Math.random()}`;
  const times = <Value>(count: number, work: (index: number) => Promise<Value>): Promise<Value[]> =>
    Promise.all(Array.from({ length: count }, (_, index) => work(index)));

  describe(`${name}: artifacts`, () => {
    it('finds what was saved, whole, under its own kind only', async () => {
      const { store } = await open();
      const id = newName('id');
      const record = {
        payload: { scope: 'a b', nested: { list: [1, null, 'ü\u0000'] } },
        grantId: newName('grant'),
        uid: newName('uid'),
        userCode: newName('code'),
      };
      expect(await store.save('Session', id, record, 60)).toBe('saved');
      expect(await store.find('Session', id)).toEqual(record);
      expect(await store.findByUid('Session', record.uid)).toEqual(record);
      expect(await store.findByUserCode('Session', record.userCode)).toEqual(record);
      expect(await store.find('RefreshToken', id)).toBeUndefined();
      expect(await store.findByUid('Session', id)).toBeUndefined();
      expect(await store.findByUserCode('Session', record.uid)).toBeUndefined();
    });

    it('replaces what was saved, with its second names and its time', async () => {
      const { store, advance } = await open();
      const [id, first, second] = [newName('id'), newName('uid'), newName('uid')];
      await store.save('Session', id, { payload: { n: 1 }, uid: first }, 1);
      expect(await store.save('Session', id, { payload: { n: 2 }, uid: second }, 600)).toBe('saved');
      await advance(1500);
      expect(await store.find('Session', id)).toEqual({ payload: { n: 2 }, uid: second });
      expect(await store.findByUid('Session', first)).toBeUndefined();
      expect(await store.findByUid('Session', second)).toEqual({ payload: { n: 2 }, uid: second });
    });

    it('gives away nothing that its caller can change', async () => {
      const { store } = await open();
      const id = newName('id');
      const payload = { scope: 'a' };
      await store.save('Session', id, { payload }, 60);
      payload.scope = 'changed by the saver';
      const found = await store.find('Session', id);
      (found!.payload as { scope: string }).scope = 'changed by the finder';
      expect(await store.find('Session', id)).toEqual({ payload: { scope: 'a' } });
    });

    it('forgets what expired: find, second names and consume', async () => {
      const { store, advance } = await open();
      const [id, uid, userCode] = [newName('id'), newName('uid'), newName('code')];
      await store.save('DeviceCode', id, { payload: {}, uid, userCode }, 1);
      await advance(1500);
      expect(await store.find('DeviceCode', id)).toBeUndefined();
      expect(await store.findByUid('DeviceCode', uid)).toBeUndefined();
      expect(await store.findByUserCode('DeviceCode', userCode)).toBeUndefined();
      expect(await store.consume('DeviceCode', id)).toBe('not_found');
      expect(await store.find('DeviceCode', id)).toBeUndefined();
    });

    it('keeps without a time to live, and saves nothing with one that is over', async () => {
      const { store, advance } = await open();
      const [kept, zero, negative] = [newName('id'), newName('id'), newName('id')];
      await store.save('Grant', kept, { payload: {} }, undefined);
      expect(await store.save('Grant', zero, { payload: {} }, 0)).toBe('saved');
      expect(await store.save('Grant', negative, { payload: {} }, -5)).toBe('saved');
      await advance(1500);
      expect(await store.find('Grant', kept)).toEqual({ payload: {} });
      expect(await store.find('Grant', zero)).toBeUndefined();
      expect(await store.find('Grant', negative)).toBeUndefined();
    });

    it('tells exactly one of 50 parallel callers that it consumed', async () => {
      const { store } = await open();
      const id = newName('id');
      await store.save('RefreshToken', id, { payload: {} }, 60);
      const outcomes = await times(50, () => store.consume('RefreshToken', id));
      expect(outcomes.filter((outcome) => outcome === 'consumed')).toHaveLength(1);
      expect(outcomes.filter((outcome) => outcome === 'already_consumed')).toHaveLength(49);
      const found = await store.find('RefreshToken', id);
      expect(Number.isInteger(found?.consumedAt)).toBe(true);
    });

    it('never revives what was consumed, also when a save races with the consumption', async () => {
      const { store } = await open();
      const id = newName('id');
      await store.save('AuthorizationCode', id, { payload: { n: 0 } }, 60);
      const saves = times(20, (n) => store.save('AuthorizationCode', id, { payload: { n } }, 60));
      expect(await store.consume('AuthorizationCode', id)).toBe('consumed');
      await saves;
      expect(await store.save('AuthorizationCode', id, { payload: { n: 'late' } }, 60)).toBe('already_consumed');
      expect(await store.consume('AuthorizationCode', id)).toBe('already_consumed');
      const found = await store.find('AuthorizationCode', id);
      expect(found?.consumedAt).toBeDefined();
      expect(found?.payload).not.toEqual({ n: 'late' });
    });

    it('never creates or extends by consuming', async () => {
      const { store, advance } = await open();
      const id = newName('id');
      expect(await store.consume('RefreshToken', id)).toBe('not_found');
      expect(await store.find('RefreshToken', id)).toBeUndefined();
      await store.save('RefreshToken', id, { payload: {} }, 1);
      await store.consume('RefreshToken', id);
      await advance(1500);
      expect(await store.find('RefreshToken', id)).toBeUndefined();
    });

    it('saves a new mark for exactly one of 50 parallel callers, and again once it expired', async () => {
      const { store, advance } = await open();
      const id = newName('jti');
      const outcomes = await times(50, (n) => store.saveNew('ReplayDetection', id, { payload: { n } }, 1));
      expect(outcomes.filter((outcome) => outcome === 'saved')).toHaveLength(1);
      expect(outcomes.filter((outcome) => outcome === 'already_exists')).toHaveLength(49);
      expect(await store.find('ReplayDetection', id)).toEqual({ payload: { n: outcomes.indexOf('saved') } });
      await advance(1500);
      expect(await store.saveNew('ReplayDetection', id, { payload: { n: 'again' } }, 60)).toBe('saved');
      expect(await store.find('ReplayDetection', id)).toEqual({ payload: { n: 'again' } });
    });

    it('destroys, with its second names, and destroying nothing is no error', async () => {
      const { store } = await open();
      const [id, uid] = [newName('id'), newName('uid')];
      await store.save('Session', id, { payload: {}, uid, grantId: newName('grant') }, 60);
      await store.destroy('Session', id);
      await store.destroy('Session', id);
      expect(await store.find('Session', id)).toBeUndefined();
      expect(await store.findByUid('Session', uid)).toBeUndefined();
      expect(await store.consume('Session', id)).toBe('not_found');
    });

    it('destroys everything of a revoked grant, of every kind, and nothing of another', async () => {
      const { store } = await open();
      const [grantId, other] = [newName('grant'), newName('grant')];
      const ids = Array.from({ length: 6 }, () => newName('id'));
      for (const [index, id] of ids.entries()) {
        await store.save(index % 2 === 0 ? 'RefreshToken' : 'AccessToken', id, { payload: {}, grantId }, 60);
      }
      const survivor = newName('id');
      await store.save('RefreshToken', survivor, { payload: {}, grantId: other }, 60);
      await store.revokeByGrant(grantId);
      await store.revokeByGrant(grantId);
      for (const [index, id] of ids.entries()) {
        const kind = index % 2 === 0 ? 'RefreshToken' : 'AccessToken';
        expect(await store.find(kind, id)).toBeUndefined();
        expect(await store.consume(kind, id)).toBe('not_found');
      }
      expect(await store.find('RefreshToken', survivor)).toBeDefined();
    });

    it('finds nothing of a revoked grant by its second names either, and consumes nothing that raced with it', async () => {
      const { store } = await open();
      const [id, uid, userCode, grantId] = [newName('id'), newName('uid'), newName('code'), newName('grant')];
      await store.save('DeviceCode', id, { payload: {}, uid, userCode, grantId }, 60);
      const race = times(20, async (index) => {
        if (index === 10) await store.revokeByGrant(grantId);
        return store.consume('DeviceCode', id);
      });
      const outcomes = await race;
      expect(outcomes.filter((outcome) => outcome === 'consumed').length).toBeLessThanOrEqual(1);
      expect(outcomes[10]).toBe('not_found');
      expect(await store.findByUid('DeviceCode', uid)).toBeUndefined();
      expect(await store.findByUserCode('DeviceCode', userCode)).toBeUndefined();
    });

    it('refuses saves for a revoked grant, a day later too', async () => {
      const { store, advance } = await open();
      const [id, grantId] = [newName('id'), newName('grant')];
      await store.revokeByGrant(grantId);
      expect(await store.save('RefreshToken', id, { payload: {}, grantId }, 60)).toBe('grant_revoked');
      await advance(86_400_000);
      expect(await store.save('RefreshToken', id, { payload: {}, grantId }, 60)).toBe('grant_revoked');
      expect(await store.saveNew('RefreshToken', id, { payload: {}, grantId }, 60)).toBe('grant_revoked');
      expect(await store.find('RefreshToken', id)).toBeUndefined();
    });

    it('leaves nothing alive when 30 saves race with the revocation of their grant', async () => {
      const { store } = await open();
      const grantId = newName('grant');
      const ids = Array.from({ length: 30 }, () => newName('id'));
      const outcomes = await Promise.all(
        ids.map(async (id, index) => {
          if (index === 15) await store.revokeByGrant(grantId);
          return store.save('RefreshToken', id, { payload: {}, grantId }, 60);
        }),
      );
      expect(outcomes[15]).toBe('grant_revoked');
      for (const id of ids) expect(await store.find('RefreshToken', id)).toBeUndefined();
    });
  });
}
