import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createVault } from '../../../src/kernel/vault.ts';
import { newTrip, readTrip, tripCookie } from '../../../src/people/upstream/trip.ts';
import type { OAuthBrowser } from '../../support/oauth_browser.ts';
import { startUpstreamProvider, type UpstreamProvider } from '../../support/upstream_provider.ts';
import { type Lies, type RogueProvider, startRogueProvider } from './rogue_provider.ts';
import { serveUpstreamConsole, type UpstreamConsole } from './upstream_console.ts';

let site: UpstreamConsole;
let upstream: UpstreamProvider;
let rogue: RogueProvider;

beforeAll(async () => {
  site = await serveUpstreamConsole();
  upstream = await startUpstreamProvider([site.callback('corp'), site.callback('rogue')]);
  rogue = await startRogueProvider();
});
afterAll(async () => {
  await upstream?.stop();
  await rogue?.close();
  await site?.close();
});
beforeEach(async () => {
  rogue.lie({});
  use();
  await upstream.signsInNext({ sub: 'ada', claims: { name: 'Ada' } });
});

function use(hosts = [upstream.host, rogue.host]): void {
  site.use(
    [
      { id: 'corp', issuer: upstream.issuer, new_people: 'anyone' },
      { id: 'rogue', issuer: rogue.issuer, new_people: 'anyone' },
    ],
    hosts,
  );
}

async function expectNobody(landed: Awaited<ReturnType<UpstreamConsole['comeBack']>>, status = 403): Promise<void> {
  expect([landed.status, landed.signedIn]).toEqual([status, null]);
  expect(landed.text).toContain('Nothing was changed');
}

describe('T10: an answer counts only in the browser that asked for it', () => {
  test('a link that leads to the end of somebody else’s sign-in signs nobody in', async () => {
    const attacker = site.newBrowser();
    const answer = await site.goThere(attacker, 'corp');
    const victim = site.newBrowser();
    await expectNobody(await site.comeBack(victim, answer));
    await site.goThere(victim, 'corp');
    const landed = await site.comeBack(victim, answer);
    await expectNobody(landed);
    expect(landed.text).toContain('This browser did not ask');
    expect((await site.comeBack(attacker, answer)).signedIn).not.toBeNull();
  });

  test('nor does an answer that comes twice, or after the browser asked again, or to the address of another provider', async () => {
    const browser = site.newBrowser();
    const first = await site.goThere(browser, 'corp');
    const elsewhere = new URL(first.href.replace('/callback/corp', '/callback/rogue'));
    await expectNobody(await site.comeBack(browser, elsewhere));
    const second = await site.goThere(browser, 'corp');
    await expectNobody(await site.comeBack(browser, first));
    const cookie = cookieOf(browser);
    expect((await site.comeBack(browser, second)).signedIn).not.toBeNull();
    await expectNobody(await site.comeBack(browser, second));
    // Also with the cookie that the answer took away, and before the provider is asked whether it takes its code twice.
    browser.setCookie(cookie.name, cookie.value);
    const again = await site.comeBack(browser, second);
    await expectNobody(again);
    expect(again.text).toContain('used already');
  });

  test('of many that bring the same answer at once, one is signed in', async () => {
    const browser = site.newBrowser();
    const answer = await site.goThere(browser, 'corp');
    const cookie = cookieOf(browser);
    const landed = await Promise.all(
      Array.from({ length: 20 }, () => {
        const copy = site.newBrowser();
        copy.setCookie(cookie.name, cookie.value);
        return site.comeBack(copy, answer);
      }),
    );
    expect(landed.filter((one) => one.signedIn !== null)).toHaveLength(1);
  });

  test('what the browser keeps is sealed, and is over after ten minutes', () => {
    const vault = createVault(Buffer.alloc(32, 1));
    const trip = newTrip('corp', '/tasks');
    const now = new Date();
    const cookie = tripCookie(vault, trip, now).split(';')[0]!;
    const came = { providerId: 'corp', state: trip.state, now };
    expect(readTrip(vault, cookie, came)).toEqual(trip);
    expect(cookie).not.toContain(trip.codeVerifier);
    expect(readTrip(vault, cookie, { ...came, now: new Date(now.getTime() + 601_000) })).toBeUndefined();
    expect(readTrip(vault, cookie, { ...came, state: null })).toBeUndefined();
    expect(readTrip(vault, cookie, { ...came, providerId: 'other' })).toBeUndefined();
    expect(readTrip(createVault(Buffer.alloc(32, 2)), cookie, came)).toBeUndefined();
    expect(readTrip(vault, `${cookie}; ${cookie}`, came)).toBeUndefined();
    expect(readTrip(vault, `${cookie.slice(0, -2)}xx`, came)).toBeUndefined();
  });
});

function cookieOf(browser: OAuthBrowser): { name: string; value: string } {
  const name = browser.cookieNames().find((one) => one.includes('upstream'))!;
  return { name, value: browser.cookieValue(name)! };
}

describe('a provider that lies', () => {
  const signInAtRogue = async (lies: Lies) => {
    const browser = site.newBrowser();
    rogue.lie(lies);
    const begun = await browser.get('/sign-in/with/rogue');
    return site.comeBack(browser, rogue.answerTo(new URL(begun.headers.get('location')!)));
  };

  test('is believed while it says the truth', async () => {
    expect((await signInAtRogue({})).signedIn).not.toBeNull();
  });

  test.each<[string, Lies]>([
    ['says it is another issuer, beside the code', { iss: 'https://other.example' }],
    ['does not say who it is, though it promised to', { iss: null }],
    ['says it is another issuer, in the token', { claims: { iss: 'https://other.example' } }],
    ['brings a token for another client', { claims: { aud: 'other' } }],
    [
      'brings a token for us and others that another one asked for',
      { claims: { aud: ['countersign', 'x'], azp: 'x' } },
    ],
    ['brings a token of another sign-in', { claims: { nonce: 'n' } }],
    ['brings one of no sign-in', { claims: { nonce: undefined } }],
    ['brings one that has expired', { claims: { exp: 1_700_000_000 } }],
    ['brings one without a subject', { claims: { sub: undefined } }],
    ['brings one that nobody signed', { signature: 'none' }],
    ['brings one that somebody else signed', { signature: 'other key' }],
    ['has no token', { token: { status: 200, body: { access_token: 'x', token_type: 'Bearer' } } }],
    ['refuses the code', { token: { status: 400, body: { error: 'invalid_grant' } } }],
  ])('%s: nobody is signed in, and the page says so', async (_, lies) => {
    const landed = await signInAtRogue(lies);
    await expectNobody(landed);
    expect(landed.text).toContain('could not be verified');
  });
});

describe('what the server fetches', () => {
  let inside: Server;
  let reached = 0;
  let address: string;

  beforeAll(async () => {
    inside = createServer((_, response) => {
      reached += 1;
      response.end('{}');
    });
    await new Promise<void>((resolve) => inside.listen(0, '127.0.0.1', resolve));
    address = `http://127.0.0.1:${(inside.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    inside.closeAllConnections();
    await new Promise((resolve) => inside.close(resolve));
  });

  test.each(['token_endpoint', 'jwks_uri'])(
    'nothing of our network that a provider names as its %s',
    async (member) => {
      const browser = site.newBrowser();
      use();
      rogue.lie({ metadata: { [member]: `${address}/internal` } });
      const begun = await browser.get('/sign-in/with/rogue');
      const landed = await site.comeBack(browser, rogue.answerTo(new URL(begun.headers.get('location')!)));
      await expectNobody(landed, 503);
      expect(reached).toBe(0);
      expect(landed.text).not.toContain(address);
    },
  );

  test('no provider that is not allowed to be inside', async () => {
    site.use([{ id: 'corp', issuer: address, new_people: 'anyone' }], [upstream.host]);
    const refused = await site.newBrowser().get('/sign-in/with/corp', { accept: 'text/html' });
    expect(refused.status).toBe(503);
    expect(reached).toBe(0);
  });

  test('the browser is not sent to an address of another kind', async () => {
    rogue.lie({ metadata: { authorization_endpoint: 'javascript:alert(1)' } });
    use();
    const refused = await site.newBrowser().get('/sign-in/with/rogue', { accept: 'text/html' });
    expect([refused.status, refused.headers.get('location')]).toEqual([503, null]);
  });
});

describe('what a person is told', () => {
  test('that the provider refused them, without what anybody could write into the address', async () => {
    await upstream.signsInNext({ isDenied: true });
    const landed = await site.signIn('corp');
    await expectNobody(landed);
    expect(landed.text).toContain('access_denied');
    const browser = site.newBrowser();
    const there = new URL((await browser.get('/sign-in/with/corp')).headers.get('location')!);
    const answer = new URL(site.callback('corp'));
    answer.searchParams.set('state', there.searchParams.get('state')!);
    answer.searchParams.set('iss', upstream.issuer);
    answer.searchParams.set('error', 'CALL +1 555 0100');
    answer.searchParams.set('error_description', 'Your account is locked. Call us.');
    const shown = await site.comeBack(browser, answer);
    await expectNobody(shown);
    expect(shown.text).not.toMatch(/CALL|Call us/);
  });

  test('that it does not answer; as soon as it does, they can sign in', async () => {
    const port = Number(upstream.host.split(':')[1]);
    await upstream.stop();
    use();
    const refused = await site.newBrowser().get('/sign-in/with/corp', { accept: 'text/html' });
    expect(refused.status).toBe(503);
    expect(await refused.text()).toContain('does not answer');
    upstream = await startUpstreamProvider([site.callback('corp')], port);
    await upstream.signsInNext({ sub: 'ada' });
    expect((await site.signIn('corp')).signedIn).not.toBeNull();
  });

  test('that there is no such provider', async () => {
    expect((await site.newBrowser().get('/sign-in/with/nobody', { accept: 'text/html' })).status).toBe(404);
  });

  test.each(['https://evil.example/', '//evil.example', '/\\evil.example', '/sign-in/with/corp'])(
    'nobody is sent on to %s',
    async (place) => {
      const landed = await site.signIn('corp', `?return_to=${encodeURIComponent(place)}`);
      expect(landed.location).toBe('/account?welcome=yes');
    },
  );
});
