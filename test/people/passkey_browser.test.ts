import { readFileSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import Koa from 'koa';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SignedIn } from '../../src/model/person.ts';
import { beginRegistration, finishRegistration } from '../../src/people/add_passkey.ts';
import { beginConfirmation, finishConfirmation } from '../../src/people/confirm_passkey.ts';
import { makeLink } from '../../src/people/make_link.ts';
import type { RelyingParty } from '../../src/people/passkey_challenge.ts';
import { findSession } from '../../src/people/session.ts';
import { beginSignIn, finishSignIn } from '../../src/people/sign_in.ts';
import { useLink } from '../../src/people/use_link.ts';
import type { Store } from '../../src/store/store.ts';
import { launchBrowser, type TestBrowser, withVirtualAuthenticator } from '../support/browser.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

const SCRIPT = readFileSync(
  new URL('../../node_modules/@simplewebauthn/browser/dist/bundle/index.umd.min.js', import.meta.url),
);

let database: TestDatabase;
let store: Store;
let browser: TestBrowser;
let server: Server;
let rp: RelyingParty;
let ada: SignedIn;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  browser = await launchBrowser();
  // A page of the right origin; the ceremonies themselves are called by the test.
  const app = new Koa();
  app.use((ctx) => {
    const isScript = ctx.path === '/simplewebauthn.js';
    ctx.type = isScript ? 'text/javascript' : 'text/html';
    ctx.body = isScript ? SCRIPT : '<!doctype html><title>x</title><script src="/simplewebauthn.js"></script>';
  });
  server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  rp = { id: 'localhost', origin, name: 'Countersign' };
  const link = await makeLink(store, { kind: 'invitation', isAdministrator: false, createdBy: null, ttlSeconds: 60 });
  const used = await useLink(store, link.token, { displayName: 'Ada' });
  ada = (await findSession(store, used.ok ? used.value.cookieValue : ''))!;
});
afterAll(async () => {
  await browser.close();
  server.close();
  await database.drop();
});

/** Hands options to the browser as the pages of the console do; its answer, or the name of its error. */
async function perform(page: Page, what: 'startRegistration' | 'startAuthentication', optionsJSON: unknown) {
  const source = `SimpleWebAuthnBrowser.${what}({ optionsJSON: ${JSON.stringify(optionsJSON)} })
    .then((answer) => ({ answer }), (error) => ({ error: error.name }))`;
  return (await page.evaluate(source)) as { answer?: never; error?: string };
}

describe('passkeys in Chromium', () => {
  it('are added, sign in, and confirm; without user verification they do neither', async () => {
    const page = await browser.newPage();
    const authenticator = await withVirtualAuthenticator(page);
    await page.goto(rp.origin);

    const registration = await beginRegistration(store, ada, rp);
    const registered = await perform(page, 'startRegistration', registration.ok && registration.value);
    expect(registered.error).toBeUndefined();
    expect(await finishRegistration(store, ada, rp, registered.answer!, 'laptop')).toMatchObject({ ok: true });
    expect(await authenticator.credentialCount()).toBe(1);

    for (let round = 0; round < 2; round += 1) {
      const { answer } = await perform(page, 'startAuthentication', await beginSignIn(store, rp));
      const signedIn = await finishSignIn(store, rp, answer!);
      const session = await findSession(store, signedIn.ok ? signedIn.value.cookieValue : '');
      expect(session?.person.id).toBe(ada.person.id);
      expect(session?.amr).toContain('user');
    }

    const question = await beginConfirmation(store, ada, rp, 'decide:stp_1');
    const confirmed = await perform(page, 'startAuthentication', question.ok && question.value);
    expect(await finishConfirmation(store, ada, rp, 'decide:stp_2', confirmed.answer!)).toMatchObject({ ok: false });
    expect(await finishConfirmation(store, ada, rp, 'decide:stp_1', confirmed.answer!)).toMatchObject({ ok: true });

    await authenticator.setUserVerified(false);
    const again = await beginConfirmation(store, ada, rp, 'decide:stp_1');
    expect(await perform(page, 'startAuthentication', again.ok && again.value)).toEqual({ error: 'NotAllowedError' });
    // A page that asks for less gets an answer, which is refused here.
    const laxer = { ...(again.ok && again.value), userVerification: 'discouraged' };
    const lax = await perform(page, 'startAuthentication', laxer);
    expect(await finishConfirmation(store, ada, rp, 'decide:stp_1', lax.answer!)).toMatchObject({
      refusal: { code: 'passkey_required' },
    });
  });
});
