import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { Page, Response } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { readStepUp, type Waiting } from '../../src/agent/index.ts';
import {
  launchBrowser,
  type TestBrowser,
  type VirtualAuthenticator,
  withVirtualAuthenticator,
} from '../support/browser.ts';
import type { ToolResult } from './interactive_client.ts';
import { startWorld, type World } from './world.ts';

// Real servers, SDKs and a browser on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let browser: TestBrowser;
let page: Page;
let authenticator: VirtualAuthenticator;
let client: Client;
let waiting: Waiting;
let fileName: string;
let fileNumber = 0;

/** The first administrator comes by the set-up link and adds a passkey there and then. */
async function setUp(link: string): Promise<void> {
  await page.goto(link);
  await page.getByLabel('Your name').fill('Olga');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('heading', { name: 'Welcome, Olga' }).waitFor();
  await page.getByLabel('Name of the new passkey').fill('Laptop');
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.waitForURL((url) => url.searchParams.get('welcome') === null);
  expect(await authenticator.credentialCount()).toBe(1);
}

beforeAll(async () => {
  browser = await launchBrowser();
  page = await browser.newPage();
  authenticator = await withVirtualAuthenticator(page);
  world = await startWorld({ mode: 'standard', setUp });
  const agent = await world.registerAgent();
  const { taskId } = await agent.startTask({
    resource: world.resource,
    tools: ['write_file'],
    purpose: 'Write notes',
  });
  client = new Client({ name: 'notes-agent', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  const authProvider = agent.authProvider(taskId, world.resource);
  await client.connect(new StreamableHTTPClientTransport(new URL(world.resource), { authProvider }));
});
afterAll(async () => {
  await client?.close();
  await browser?.close();
  await world?.close();
});
beforeEach(async () => {
  await authenticator.setUserVerified(true);
  waiting = await callAndWait();
  await page.goto(waiting.approvalUrl);
  await page.getByText('You confirm with your passkey').waitFor();
});

async function callWrite(): Promise<ToolResult> {
  const args = { path: world.file(fileName), content: 'Text\n' };
  return (await client.callTool({ name: 'write_file', arguments: args })) as unknown as ToolResult;
}

async function callAndWait(): Promise<Waiting> {
  fileName = `note-${fileNumber++}.md`;
  const verdict = readStepUp(await callWrite());
  if (verdict?.kind !== 'waiting') throw new Error(`Not waiting: ${JSON.stringify(verdict)}`);
  return verdict;
}

/** Posts the form to approve as it stands, without the script that asks for the passkey. */
async function submitWithoutScript(confirmation: string | null): Promise<Response> {
  const answered = page.waitForResponse((response) => response.url().endsWith('/decision'));
  await page.evaluate(
    `(() => {
      const form = document.querySelector('form[data-passkey=confirm]');
      const confirmation = ${JSON.stringify(confirmation)};
      if (confirmation !== null) {
        const field = document.createElement('input');
        Object.assign(field, { type: 'hidden', name: 'confirmation', value: confirmation });
        form.append(field);
      }
      HTMLFormElement.prototype.submit.call(form);
    })()`,
  );
  const response = await answered;
  await page.waitForLoadState();
  return response;
}

/** Confirms with the passkey in this page what the form at `selector` asks for; `changes` to what the server asked. */
function confirmWith(selector: string, changes: Record<string, unknown> = {}): Promise<string> {
  return page.evaluate<string>(
    `(async () => {
      const form = document.querySelector(${JSON.stringify(selector)});
      const answer = await fetch(form.dataset.options, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ csrf: form.elements.csrf.value }),
      });
      const optionsJSON = { ...(await answer.json()), ...${JSON.stringify(changes)} };
      return JSON.stringify(await SimpleWebAuthnBrowser.startAuthentication({ optionsJSON }));
    })()`,
  );
}

async function expectNothingChanged(response: Response): Promise<void> {
  expect(response.status(), await page.locator('main').textContent().then(String)).toBe(403);
  const { db } = world.store;
  const { stepUpId } = waiting;
  const stepUp = await db.selectFrom('step_ups').select('state').where('id', '=', stepUpId).executeTakeFirstOrThrow();
  expect(stepUp.state).toBe('open');
  for (const table of ['decisions', 'grants'] as const) {
    expect(await db.selectFrom(table).select('id').where('step_up_id', '=', stepUpId).execute()).toEqual([]);
  }
  expect(readStepUp(await callWrite())).toMatchObject({ kind: 'waiting', stepUpId });
  expect(await world.textOf(fileName)).toBeNull();
}

test('with the passkey the owner approves for their own agent, and the call runs', async () => {
  await page.getByRole('button', { name: 'Approve once' }).click();
  await page.getByText('Approved by Olga').waitFor();
  const { db } = world.store;
  const decision = await db
    .selectFrom('decisions')
    .select('amr')
    .where('step_up_id', '=', waiting.stepUpId)
    .executeTakeFirstOrThrow();
  expect(decision.amr).toContain('user');
  expect((await callWrite()).isError).not.toBe(true);
  expect(await world.textOf(fileName)).toBe('Text\n');
});

test('without it the approval is refused, whatever the session is worth', async () => {
  await expectNothingChanged(await submitWithoutScript(null));
  expect(await page.locator('main').textContent()).toMatch(/passkey/);
});

test('denying needs none', async () => {
  await page.getByRole('button', { name: 'Deny this call' }).click();
  await page.getByText('Denied by Olga').waitFor();
  expect(readStepUp(await callWrite())).toMatchObject({ kind: 'refused', code: 'step_up_denied' });
});

test('a confirmation made for another request is refused', async () => {
  const meant = { waiting, fileName };
  const other = await callAndWait();
  await page.goto(other.approvalUrl);
  const confirmation = await confirmWith('form[data-passkey=confirm]');
  ({ waiting, fileName } = meant);
  await page.goto(waiting.approvalUrl);
  await expectNothingChanged(await submitWithoutScript(confirmation));
});

test('a confirmation made for another purpose is refused', async () => {
  await page.goto(`${world.issuer}/account`);
  const confirmation = await confirmWith('form[data-options="/account/confirmation/options"]');
  await page.goto(waiting.approvalUrl);
  await expectNothingChanged(await submitWithoutScript(confirmation));
});

test('a confirmation approves once, and not the next request', async () => {
  const confirmation = await confirmWith('form[data-passkey=confirm]');
  expect((await submitWithoutScript(confirmation)).status()).toBe(303);
  expect((await callWrite()).isError).not.toBe(true);
  waiting = await callAndWait();
  await page.goto(waiting.approvalUrl);
  await expectNothingChanged(await submitWithoutScript(confirmation));
});

test('a passkey without user verification is refused by the browser, and by the server if the browser was talked round', async () => {
  await authenticator.setUserVerified(false);
  await page.getByRole('button', { name: 'Approve once' }).click();
  await page.locator('[data-passkey-error]:not([hidden])').waitFor();
  const confirmation = await confirmWith('form[data-passkey=confirm]', { userVerification: 'discouraged' });
  await expectNothingChanged(await submitWithoutScript(confirmation));
});
