import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SignedIn } from '../../src/model/person.ts';
import { beginRegistration, finishRegistration } from '../../src/people/add_passkey.ts';
import { ADD_PASSKEY_PURPOSE } from '../../src/people/adding_passkey.ts';
import { beginConfirmation, finishConfirmation } from '../../src/people/confirm_passkey.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { listPasskeys, removePasskey, renamePasskey } from '../../src/people/passkeys.ts';
import { findSession } from '../../src/people/session.ts';
import { beginSignIn, finishSignIn } from '../../src/people/sign_in.ts';
import { useLink } from '../../src/people/use_link.ts';
import { createMemoryEphemeralStore } from '../../src/store/memory/ephemeral.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { type Deviation, SoftwarePasskey } from './software_passkey.ts';

const rp = { id: 'localhost', origin: 'http://localhost:9400', name: 'Countersign' };

let database: TestDatabase;
let store: Store;
let ada: SignedIn;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await sql`truncate people, events cascade`.execute(database.db);
  store = createTestStore(database);
  ada = await newPerson('Ada');
});

async function newPerson(displayName: string): Promise<SignedIn> {
  const link = await makeLink(store, {
    kind: 'invitation',
    isAdministrator: false,
    createdBy: null,
    ttlSeconds: 60,
  });
  const used = await useLink(store, link.token, { displayName });
  return (await findSession(store, used.ok ? used.value.cookieValue : ''))!;
}

async function register(signedIn: SignedIn, name = 'laptop', passkey = new SoftwarePasskey(rp.origin)) {
  const begun = await beginRegistration(store, signedIn, rp);
  if (!begun.ok) return { passkey, result: begun };
  return { passkey, result: await finishRegistration(store, signedIn, rp, passkey.register(begun.value), name) };
}

async function registered(signedIn: SignedIn, name = 'laptop'): Promise<SoftwarePasskey> {
  const { passkey, result } = await register(signedIn, name);
  if (!result.ok) throw new Error(result.refusal.message);
  return passkey;
}

async function confirm(signedIn: SignedIn, passkey: SoftwarePasskey, purpose: string, deviation: Deviation = {}) {
  const begun = await beginConfirmation(store, signedIn, rp, purpose);
  if (!begun.ok) return begun;
  return finishConfirmation(store, signedIn, rp, purpose, passkey.answer(begun.value, deviation));
}

async function signIn(passkey: SoftwarePasskey, deviation: Deviation = {}) {
  return finishSignIn(store, rp, passkey.answer(await beginSignIn(store, rp), deviation));
}

const eventKinds = async () =>
  (await store.db.selectFrom('events').select('kind').orderBy('id').execute()).map((event) => event.kind);
const addedNone = { ok: false, refusal: { code: 'request_invalid' } };
const refusedPasskey = { ok: false, refusal: { code: 'passkey_required' } };

describe('adding a passkey', () => {
  it('asks for a discoverable passkey with user verification, under a random handle', async () => {
    const begun = await beginRegistration(store, ada, rp);
    if (!begun.ok) throw new Error(begun.refusal.message);
    const { authenticatorSelection, user, attestation, rp: asked } = begun.value;
    expect(authenticatorSelection).toMatchObject({ residentKey: 'required', userVerification: 'required' });
    expect(attestation).toBe('none');
    expect(asked).toEqual({ id: 'localhost', name: 'Countersign' });
    const handle = Buffer.from(user.id, 'base64url');
    expect(handle).toHaveLength(64);
    expect(handle.toString('latin1')).not.toContain(ada.person.id);
  });

  it('is free for the first, needs the word of an existing one after that, once per confirmation', async () => {
    const first = await registered(ada);
    expect((await register(ada)).result).toMatchObject(refusedPasskey);
    expect(await confirm(ada, first, ADD_PASSKEY_PURPOSE)).toMatchObject({ ok: true });
    await registered(ada, 'phone');
    expect((await register(ada)).result).toMatchObject(refusedPasskey);
    expect((await listPasskeys(store, ada)).map((passkey) => passkey.name)).toEqual(['laptop', 'phone']);
  });

  it('takes no confirmation of another purpose, of another session, or of long ago', async () => {
    const first = await registered(ada);
    await confirm(ada, first, 'decide:stp_1');
    expect((await register(ada)).result).toMatchObject(refusedPasskey);
    const other = await signIn(first);
    const otherSession = (await findSession(store, other.ok ? other.value.cookieValue : ''))!;
    await confirm(otherSession, first, ADD_PASSKEY_PURPOSE);
    expect((await register(ada)).result).toMatchObject(refusedPasskey);
    let nowMs = Date.now();
    store = { ...store, ephemeral: createMemoryEphemeralStore({ now: () => nowMs }) };
    await confirm(ada, first, ADD_PASSKEY_PURPOSE);
    nowMs += 121_000;
    expect((await register(ada)).result).toMatchObject(refusedPasskey);
  });

  it('lets one of several that race for being the first win', async () => {
    const attempts = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const begun = await beginRegistration(store, ada, rp);
        return { begun, passkey: new SoftwarePasskey(rp.origin) };
      }),
    );
    const results = await Promise.all(
      attempts.map(({ begun, passkey }) => {
        if (!begun.ok) throw new Error(begun.refusal.message);
        return finishRegistration(store, ada, rp, passkey.register(begun.value), 'x');
      }),
    );
    expect(results.filter((result) => result.ok)).toHaveLength(1);
    expect(await listPasskeys(store, ada)).toHaveLength(1);
  });

  it('refuses an answer without verification, for another site, of another session, malformed, or used before', async () => {
    const eve = await newPerson('Eve');
    const deviations: Deviation[] = [
      { isUserVerified: false },
      { origin: 'https://evil.example' },
      { rpId: 'evil.example' },
      { isDiscoverable: false },
      { challenge: Buffer.alloc(54).toString('base64url') },
    ];
    for (const deviation of deviations) {
      const begun = await beginRegistration(store, ada, rp);
      const response = new SoftwarePasskey(rp.origin).register(begun.ok ? begun.value : (null as never), deviation);
      expect(await finishRegistration(store, ada, rp, response, 'x'), JSON.stringify(deviation)).toMatchObject(
        addedNone,
      );
    }
    const begun = await beginRegistration(store, ada, rp);
    if (!begun.ok) throw new Error(begun.refusal.message);
    const answer = new SoftwarePasskey(rp.origin).register(begun.value);
    expect(await finishRegistration(store, eve, rp, answer, 'x')).toMatchObject(addedNone);
    for (const malformed of [null, {}, 'x', { ...answer, response: {} }, { ...answer, response: null }]) {
      expect(await finishRegistration(store, ada, rp, malformed as never, 'x')).toMatchObject(addedNone);
    }
    expect(await finishRegistration(store, ada, rp, answer, '\u202e')).toMatchObject(addedNone);
    expect(await finishRegistration(store, ada, rp, answer, 'x')).toMatchObject({ ok: true });
    expect(await finishRegistration(store, ada, rp, answer, 'x')).toMatchObject({ ok: false });
    expect(await listPasskeys(store, ada)).toHaveLength(1);
    expect(await listPasskeys(store, eve)).toHaveLength(0);
  });
});

describe('signing in by passkey', () => {
  it('finds the person by the passkey alone, and says how they signed in', async () => {
    const passkey = await registered(ada);
    const options = await beginSignIn(store, rp);
    expect(options).toMatchObject({ userVerification: 'required', rpId: 'localhost' });
    expect(options.allowCredentials ?? []).toEqual([]);
    const signedIn = await finishSignIn(store, rp, passkey.answer(options));
    const session = await findSession(store, signedIn.ok ? signedIn.value.cookieValue : '');
    expect(session).toMatchObject({ person: { id: ada.person.id }, amr: ['hwk', 'user'] });
    expect((await eventKinds()).at(-1)).toBe('session.started');
  });

  it('refuses what a thief, a phisher or a replayer can send', async () => {
    const passkey = await registered(ada);
    const eve = await newPerson('Eve');
    const evesPasskey = await registered(eve);
    const deviations: Deviation[] = [
      { isUserVerified: false },
      { origin: 'https://evil.example' },
      { origin: 'http://localhost:9401' },
      { rpId: 'evil.example' },
      { userHandle: null },
      { userHandle: evesPasskey.userHandle },
      { challenge: Buffer.alloc(54).toString('base64url') },
    ];
    for (const deviation of deviations) {
      expect(await signIn(passkey, deviation), JSON.stringify(deviation)).toMatchObject(refusedPasskey);
    }
    expect(await signIn(new SoftwarePasskey(rp.origin))).toMatchObject(refusedPasskey);
    const answer = passkey.answer(await beginSignIn(store, rp));
    const forged = {
      ...answer,
      response: { ...answer.response, signature: evesPasskey.answer(await beginSignIn(store, rp)).response.signature },
    };
    expect(await finishSignIn(store, rp, forged)).toMatchObject(refusedPasskey);
    for (const malformed of [null, {}, 'x', { id: answer.id }, { ...answer, response: null }]) {
      expect(await finishSignIn(store, rp, malformed as never)).toMatchObject({ ok: false });
    }
    expect(await finishSignIn(store, rp, answer)).toMatchObject({ ok: true });
  });

  it('takes one answer once, of 20 at the same time', async () => {
    const passkey = await registered(ada);
    const answer = passkey.answer(await beginSignIn(store, rp));
    const results = await Promise.all(Array.from({ length: 20 }, () => finishSignIn(store, rp, answer)));
    expect(results.filter((result) => result.ok)).toHaveLength(1);
    expect((await eventKinds()).filter((kind) => kind === 'session.started')).toHaveLength(2);
  });

  it('takes no answer to a question of more than two minutes ago, or from before the store forgot', async () => {
    const passkey = await registered(ada);
    const options = await beginSignIn(store, rp);
    vi.useFakeTimers({ now: Date.now() + 121_000, toFake: ['Date'] });
    try {
      expect(await finishSignIn(store, rp, passkey.answer(options))).toMatchObject(refusedPasskey);
    } finally {
      vi.useRealTimers();
    }
    const restarted = { ...store, ephemeral: createMemoryEphemeralStore({ now: () => Date.now() + 5 }) };
    expect(await finishSignIn(restarted, rp, passkey.answer(options))).toMatchObject(refusedPasskey);
    expect(await finishSignIn(store, rp, passkey.answer(options))).toMatchObject({ ok: true });
  });

  it('refuses a passkey whose counter does not rise, and records that it may have been copied', async () => {
    const passkey = await registered(ada);
    passkey.counter = 4_000_000_000;
    expect(await signIn(passkey)).toMatchObject({ ok: true });
    expect(await signIn(passkey, { counter: 4_000_000_000 })).toMatchObject(refusedPasskey);
    expect(await signIn(passkey, { counter: 0 })).toMatchObject(refusedPasskey);
    expect((await eventKinds()).slice(-2)).toEqual(['passkey.refused', 'passkey.refused']);
    expect(await signIn(passkey, { counter: 4_000_000_001 })).toMatchObject({ ok: true });
  });

  it('signs in nobody who was disabled', async () => {
    const passkey = await registered(ada);
    await store.db.updateTable('people').set({ state: 'disabled' }).execute();
    expect(await signIn(passkey)).toMatchObject({ ok: false });
  });
});

describe('confirming by passkey', () => {
  it('says how, for the very purpose, in the very session, by a passkey of that person', async () => {
    const passkey = await registered(ada);
    const eve = await newPerson('Eve');
    const evesPasskey = await registered(eve);
    expect(await confirm(ada, passkey, 'decide:stp_1')).toEqual({ ok: true, value: { amr: ['hwk', 'user'] } });
    expect(await confirm(ada, evesPasskey, 'decide:stp_1')).toMatchObject(refusedPasskey);
    expect(await confirm(ada, passkey, 'decide:stp_1', { isUserVerified: false })).toMatchObject(refusedPasskey);
    const begun = await beginConfirmation(store, ada, rp, 'decide:stp_1');
    if (!begun.ok) throw new Error(begun.refusal.message);
    expect(begun.value.allowCredentials).toMatchObject([{ id: passkey.id.toString('base64url') }]);
    const answer = passkey.answer(begun.value);
    expect(await finishConfirmation(store, ada, rp, 'decide:stp_2', answer)).toMatchObject(refusedPasskey);
    const other = await signIn(passkey);
    const otherSession = (await findSession(store, other.ok ? other.value.cookieValue : ''))!;
    expect(await finishConfirmation(store, otherSession, rp, 'decide:stp_1', answer)).toMatchObject(refusedPasskey);
    expect(await finishSignIn(store, rp, answer)).toMatchObject(refusedPasskey);
    expect(await finishConfirmation(store, ada, rp, 'decide:stp_1', answer)).toMatchObject({ ok: true });
    expect(await finishConfirmation(store, ada, rp, 'decide:stp_1', answer)).toMatchObject(refusedPasskey);
  });

  it('cannot be had from a sign-in or without a passkey', async () => {
    expect(await beginConfirmation(store, ada, rp, 'x')).toMatchObject(refusedPasskey);
    const passkey = await registered(ada);
    const answer = passkey.answer(await beginSignIn(store, rp));
    expect(await finishConfirmation(store, ada, rp, 'sign-in', answer)).toMatchObject(refusedPasskey);
  });
});

describe('keeping passkeys', () => {
  it('renames and removes one’s own, with an event, and nobody else’s', async () => {
    const first = await registered(ada);
    await confirm(ada, first, ADD_PASSKEY_PURPOSE);
    const second = await registered(ada, 'phone');
    const eve = await newPerson('Eve');
    const id = second.id.toString('base64url');
    for (const attempt of [renamePasskey(store, eve, id, 'mine'), removePasskey(store, eve, id)]) {
      expect(await attempt).toMatchObject({ refusal: { code: 'not_found' } });
    }
    expect(await renamePasskey(store, ada, id, 'red phone')).toMatchObject({ ok: true });
    expect((await listPasskeys(store, ada)).map((passkey) => passkey.name)).toEqual(['laptop', 'red phone']);
    expect(await removePasskey(store, ada, id)).toMatchObject({ ok: true });
    expect(await signIn(second)).toMatchObject(refusedPasskey);
    expect((await eventKinds()).filter((kind) => kind.startsWith('passkey.')).slice(-2)).toEqual([
      'passkey.renamed',
      'passkey.removed',
    ]);
  });

  it('never removes the last one, also when all of twelve are removed at once', async () => {
    const first = await registered(ada);
    const id = first.id.toString('base64url');
    expect(await removePasskey(store, ada, id)).toMatchObject({ refusal: { code: 'conflict' } });
    await sql`insert into passkeys
      select 'copy-' || n, person_id, public_key, counter, transports, device_type, backed_up, name
      from passkeys, generate_series(1, 11) as n`.execute(database.db);
    const passkeys = await listPasskeys(store, ada);
    const results = await Promise.all(passkeys.map((passkey) => removePasskey(store, ada, passkey.credentialId)));
    expect(results.filter((result) => result.ok)).toHaveLength(11);
    expect(await listPasskeys(store, ada)).toHaveLength(1);
  });
});
