import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { viewStepUp } from '../../src/approvals/view.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { launchBrowser, type PageOptions, type TestBrowser, withVirtualAuthenticator } from '../support/browser.ts';
import { type ServedConsole, serveConsole } from './served_console.ts';

let served: ServedConsole;
let browser: TestBrowser;
const pages: Page[] = [];

beforeAll(async () => {
  served = await serveConsole();
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await served?.close();
});

let stepUpId: string;
let file = 0;
beforeEach(async () => {
  await served.scenario.startTask();
  file += 1;
  stepUpId = await served.scenario.ask('write_file', { path: `/notes/${file}.md`, content: 'text' });
});
afterEach(async () => {
  for (const page of pages.splice(0)) await page.context().close();
});

async function openAs(person: SignedIn, options: PageOptions = {}): Promise<Page> {
  const page = await browser.newPage(options);
  pages.push(page);
  page.on('console', (message) => {
    if (message.type() === 'error' && /Content Security Policy/.test(message.text())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  await served.signInBrowser(page, person);
  return page;
}

const problems: string[] = [];
afterEach(() => expect(problems.splice(0)).toEqual([]));

const address = () => `${served.origin}/step-ups/${stepUpId}`;

async function stateOf(): Promise<string> {
  const personId = served.scenario.administrator.person.id;
  const view = await viewStepUp(served.store, { stepUpId, personId });
  return view.ok ? view.value.state : view.refusal.code;
}

describe('in a browser', () => {
  test('approving works on a phone without JavaScript', async () => {
    const page = await openAs(served.scenario.administrator, { device: 'phone', javaScriptEnabled: false });
    await page.goto(address());
    expect(await page.locator('time').first().textContent()).toMatch(/UTC$/);
    await page.getByRole('button', { name: 'Approve once' }).click();
    await page.getByText('Approved by Grace').waitFor();
    expect(await stateOf()).toBe('approved');
  });

  test('denying with a reason works by keyboard alone', async () => {
    const page = await openAs(served.scenario.administrator);
    await page.goto(address());
    const focused = () => page.evaluate<string>('document.activeElement.value || document.activeElement.textContent');
    const reachable: string[] = [];
    for (let presses = 0; presses < 40 && !(await focused()).startsWith('This is not what'); presses += 1) {
      await page.keyboard.press('Tab');
      reachable.push(await focused());
    }
    expect(reachable[0]).toBe('Skip to the content');
    expect(reachable).toContain('Approve once');
    await page.keyboard.press('Space');
    await page.keyboard.press('Tab');
    await page.keyboard.type('Ask me in person.');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('Denied by Grace').waitFor();
    expect(await page.locator('#status').textContent()).toContain('This is not what I asked for. Ask me in person.');
  });

  test('approve and deny are apart on a phone, of one size, and large enough', async () => {
    const page = await openAs(served.scenario.administrator, { device: 'phone' });
    await page.goto(address());
    const approve = (await page.getByRole('button', { name: 'Approve once' }).boundingBox())!;
    const deny = (await page.getByRole('button', { name: 'Deny this call' }).boundingBox())!;
    expect(deny.y - (approve.y + approve.height)).toBeGreaterThan(150);
    expect(Math.abs(approve.width - deny.width)).toBeLessThan(2);
    expect(approve.height).toBe(deny.height);
    for (const control of await page.locator('main :is(button, .button, label.check, summary, textarea)').all()) {
      const box = await control.boundingBox();
      if (box !== null) expect(box.height, (await control.textContent()) ?? '').toBeGreaterThanOrEqual(44);
    }
  });

  test('the page follows a decision made elsewhere: the buttons go, the outcome appears', async () => {
    const page = await openAs(served.scenario.administrator);
    await page.goto(address());
    await page.getByRole('button', { name: 'Approve once' }).waitFor();
    const other = await openAs(served.scenario.administrator);
    await other.goto(address());
    await other.getByRole('button', { name: 'Approve once' }).click();
    await page.getByText('Approved by Grace').waitFor();
    expect(await page.getByRole('button', { name: 'Approve once' }).count()).toBe(0);
    const redeemed = await served.scenario.redeem('write_file', { path: `/notes/${file}.md`, content: 'text' });
    expect(redeemed.ok).toBe(true);
    await page.getByText('its outcome is not known yet').waitFor();
  });

  test('moments are shown in the zone of the reader, with the zone named', async () => {
    const page = await openAs(served.scenario.administrator);
    await page.goto(address());
    await expect.poll(() => page.locator('time').first().getAttribute('title')).toMatch(/Z$/);
    expect(await page.locator('time').first().textContent()).toMatch(/\d\d:\d\d .+/);
  });
});

describe('passkeys in a browser', () => {
  test('who approves for their own agent adds a passkey, confirms with it, and signs in with it later', async () => {
    const page = await openAs(served.scenario.requester);
    const authenticator = await withVirtualAuthenticator(page);
    await page.goto(address());
    await page.getByRole('link', { name: 'Add a passkey' }).click();
    await page.getByLabel('Name of the new passkey').fill('Laptop');
    await page.getByRole('button', { name: 'Add a passkey' }).click();
    await page.waitForURL(address());
    expect(await authenticator.credentialCount()).toBe(1);

    await authenticator.setUserVerified(false);
    await page.getByRole('button', { name: 'Approve once' }).click();
    await page.locator('[data-passkey-error]:not([hidden])').waitFor();
    expect(await stateOf()).toBe('open');

    await authenticator.setUserVerified(true);
    await page.getByRole('button', { name: 'Approve once' }).click();
    await page.getByText('Approved by Ada').waitFor();
    expect(await stateOf()).toBe('approved');

    await page.goto(`${served.origin}/account`);
    await page.getByRole('button', { name: 'Confirm and add another' }).click();
    await page.getByLabel('Name of the new passkey').waitFor();

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in again' }).click();
    await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
    await page.waitForURL(`${served.origin}/`);
    expect(await page.locator('.who').textContent()).toContain('Ada');
  });
});
