import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { stepUpIds } from '../../src/wire/scopes.ts';
import { launchBrowser, type TestBrowser } from '../support/browser.ts';
import { connectByScript, lastOpened } from './consent_trip.ts';
import {
  BrowserProvider,
  type Callback,
  type Connection,
  type Kind,
  listenForCallback,
  newConnection,
  words,
} from './interactive_client.ts';
import { startWorld, type World } from './world.ts';

const ERAS = ['v2 2026-07-28', 'v2 2025-11-25'] as const satisfies readonly Kind[];

// Real servers, SDKs and a browser on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let browser: TestBrowser;
let callback: Callback;
let page: Page;
const opened: Connection[] = [];
let clientNumber = 0;
const clients = Array.from({ length: 20 }, (_, index) => `client-${index}`);

beforeAll(async () => {
  [world, browser, callback] = await Promise.all([startWorld({ clients }), launchBrowser(), listenForCallback()]);
});
afterAll(async () => {
  await browser?.close();
  await callback?.close();
  await world?.close();
});
beforeEach(async () => {
  page = await browser.newPage();
  await world.signIn(page);
});
afterEach(async () => {
  for (const connection of opened.splice(0)) await connection.close();
  await page.context().close();
});

/** A connected client that no other test has used, so that nothing is known of what it follows. */
async function connected(kind: Kind, clientId = clients[clientNumber++]!): Promise<Connection> {
  const connection = newConnection(kind, world.resource, new BrowserProvider(clientId, world.issuer, callback));
  opened.push(connection);
  await connectByScript(connection, world);
  return connection;
}

let fileNumber = 0;
function nextWrite() {
  const name = `new-${fileNumber++}.md`;
  return { name, args: { path: world.file(name), content: `Text of ${name}\n` } };
}

/** The step-up a client was sent to the browser for. */
function challengedFor(connection: Connection): string {
  const scope = lastOpened(connection.provider).searchParams.get('scope') ?? '';
  const [id, ...rest] = stepUpIds(scope).slice(-1);
  expect(rest).toEqual([]);
  return id!;
}

async function newestStepUp(): Promise<string> {
  const { db } = world.store;
  const newest = db.selectFrom('step_ups').select('id').orderBy('created_at', 'desc').limit(1);
  return (await newest.executeTakeFirstOrThrow()).id;
}

describe.each(ERAS)('%s', (kind) => {
  test('challenged, approved in the browser, the same call again runs once', async () => {
    const connection = await connected(kind);
    const { name, args } = nextWrite();
    const before = connection.provider.saved!;
    await expect(connection.call('write_file', args)).rejects.toThrow(/Unauthorized/);
    const stepUpId = challengedFor(connection);
    const asked = lastOpened(connection.provider).searchParams;
    expect(asked.get('scope')?.split(' ')).toContain('mcp:tools');
    expect(await world.textOf(name)).toBeNull();

    await page.goto(lastOpened(connection.provider).href);
    await page.waitForURL(new RegExp(`/step-ups/${stepUpId}`));
    expect(await page.locator('.arguments').textContent()).toContain(args.path);
    await page.getByRole('button', { name: 'Approve once' }).click();
    await page.getByRole('link', { name: /^Go back to / }).click();
    await page.getByRole('button', { name: /^Continue to / }).click();
    await page.getByRole('heading', { name: 'Back in the program' }).waitFor();
    expect(await world.textOf(name)).toBeNull();
    await connection.finishAuth(await callback.next());
    expect(connection.provider.saved?.scope).toBe(`mcp:tools step_up:${stepUpId}`);
    expect(connection.provider.saved?.access_token).not.toBe(before.access_token);

    const result = await connection.call('write_file', args);
    expect(result.isError, words(result)).not.toBe(true);
    expect(await world.textOf(name)).toBe(args.content);
    const uses = await world.store.db.selectFrom('grants').select('uses').where('step_up_id', '=', stepUpId).execute();
    expect(uses).toEqual([{ uses: 1 }]);
    const again = await connection.call('write_file', args);
    expect(again._meta?.['countersign/replayed']).toMatchObject({ outcome: 'done' });
  });

  test('denied: the trip ends with the base scope, and the guard tells the reason', async () => {
    const connection = await connected(kind);
    const { name, args } = nextWrite();
    await expect(connection.call('write_file', args)).rejects.toThrow(/Unauthorized/);
    await page.goto(lastOpened(connection.provider).href);
    await page.getByLabel('In your own words').fill('Use the other folder.');
    await page.getByRole('button', { name: 'Deny this call' }).click();
    await page.getByRole('link', { name: /^Go back to / }).click();
    await page.getByRole('button', { name: /^Continue to / }).click();
    const params = await callback.next();
    expect(params.get('error')).toBeNull();
    await connection.finishAuth(params);
    expect(connection.provider.saved?.scope).toBe('mcp:tools');

    const trips = connection.provider.opened.length;
    const result = await connection.call('write_file', args);
    expect(result.isError).toBe(true);
    expect(words(result)).toContain('Use the other folder.');
    expect(result._meta?.['countersign/refusal']).toMatchObject({ error: 'step_up_denied' });
    expect(connection.provider.opened).toHaveLength(trips);
    expect(await world.textOf(name)).toBeNull();
  });

  test('decided by nobody: whoever continues without waiting gets the base scope, and later the approval', async () => {
    const connection = await connected(kind);
    const { name, args } = nextWrite();
    await expect(connection.call('write_file', args)).rejects.toThrow(/Unauthorized/);
    const stepUpId = challengedFor(connection);
    await page.goto(lastOpened(connection.provider).href);
    const back = new URL(page.url()).searchParams.get('return_to')!;
    await page.goto(`${world.issuer}${back}`);
    await page.getByRole('heading', { name: 'Waiting for a decision' }).waitFor();
    await page.getByRole('button', { name: /^Continue to / }).click();
    await connection.finishAuth(await callback.next());
    expect(connection.provider.saved?.scope).toBe('mcp:tools');
    const waiting = await connection.call('write_file', args);
    expect(waiting._meta?.['countersign/step_up']).toMatchObject({ id: stepUpId, state: 'open' });
    expect(words(waiting)).toContain(`/step-ups/${stepUpId}`);

    await page.goto(`${world.issuer}/step-ups/${stepUpId}`);
    await page.getByRole('button', { name: 'Approve once' }).click();
    await page.getByText('Approved by Olga').waitFor();
    expect((await connection.call('write_file', args)).isError).not.toBe(true);
    expect(await world.textOf(name)).toBe(args.content);
  });

  test('one challenge at a time: other calls meanwhile are told to come again or held, and all run when approved', async () => {
    const connection = await connected(kind);
    const [first, second, third] = [nextWrite(), nextWrite(), nextWrite()];
    await expect(connection.call('write_file', first.args)).rejects.toThrow(/Unauthorized/);
    const trips = connection.provider.opened.length;
    const other = await connection.call('write_file', second.args);
    expect(other.isError).toBe(true);
    const otherId = other._meta?.['countersign/step_up']?.id as string;
    expect(otherId).not.toBe(challengedFor(connection));
    const held = connection.call('write_file', third.args, () => {});
    await expect.poll(() => newestStepUp()).not.toBe(otherId);
    for (const id of [challengedFor(connection), otherId, await newestStepUp()]) {
      await page.goto(`${world.issuer}/step-ups/${id}`);
      await page.getByRole('button', { name: 'Approve once' }).click();
      await page.getByText('Approved by Olga').waitFor();
    }
    expect((await held).isError).not.toBe(true);
    expect(await world.textOf(third.name)).toBe(third.args.content);
    for (const { name, args } of [first, second]) {
      expect((await connection.call('write_file', args)).isError).not.toBe(true);
      expect(await world.textOf(name)).toBe(args.content);
    }
    expect(connection.provider.opened).toHaveLength(trips);
  });
});

test('spent and foreign ids in the scope are ignored without a word: an ordinary consent for the base scope', async () => {
  const owner = await connected('v2 2026-07-28');
  const { args } = nextWrite();
  await expect(owner.call('write_file', args)).rejects.toThrow(/Unauthorized/);
  const live = challengedFor(owner);
  const stranger = await connected('v2 2026-07-28');
  await expect(stranger.call('write_file', nextWrite().args)).rejects.toThrow(/Unauthorized/);
  const trip = lastOpened(stranger.provider);
  trip.searchParams.set('scope', `mcp:tools step_up:${live} step_up:stp_${'a'.repeat(26)}`);
  await page.goto(trip.href);
  await page.getByRole('heading', { name: /wants to use files for you/ }).waitFor();

  await page.goto(`${world.issuer}/step-ups/${live}`);
  await page.getByRole('button', { name: 'Approve once' }).click();
  await page.getByText('Approved by Olga').waitFor();
  expect((await owner.call('write_file', args)).isError).not.toBe(true);
  const spent = lastOpened(owner.provider);
  await page.goto(spent.href);
  await page.getByRole('heading', { name: /wants to use files for you/ }).waitFor();
});

test('v1 holds a refresh token and never comes to the browser: after the approval elsewhere the same call works', async () => {
  const connection = await connected('v1');
  const { name, args } = nextWrite();
  const trips = connection.provider.opened.length;
  const told = await connection.call('write_file', args).then(words, String);
  expect(connection.provider.opened).toHaveLength(trips);
  const stepUpId = await newestStepUp();
  // The second answer, to the resend after its refresh, tells where to decide.
  expect(told).toContain(`/step-ups/${stepUpId}`);
  await page.goto(world.issuer);
  await page.locator(`a[href="/step-ups/${stepUpId}"]`).click();
  await page.getByRole('button', { name: 'Approve once' }).click();
  await page.getByText('Approved by Olga').waitFor();
  const result = await connection.call('write_file', args);
  expect(result.isError, words(result)).not.toBe(true);
  expect(await world.textOf(name)).toBe(args.content);
  const next = nextWrite();
  const later = await connection.call('write_file', next.args);
  expect(later._meta?.['countersign/step_up']).toMatchObject({ state: 'open' });
});

test('v1 without a refresh token is sent to the browser like the others', async () => {
  const connection = await connected('v1');
  const { access_token, token_type, scope } = connection.provider.saved!;
  connection.provider.saved = { access_token, token_type, ...(scope === undefined ? {} : { scope }) };
  const { name, args } = nextWrite();
  await expect(connection.call('write_file', args)).rejects.toThrow(/Unauthorized/);
  const stepUpId = challengedFor(connection);
  expect(lastOpened(connection.provider).searchParams.get('scope')).toBe(`mcp:tools step_up:${stepUpId}`);
  await page.goto(lastOpened(connection.provider).href);
  await page.getByRole('button', { name: 'Approve once' }).click();
  await page.getByRole('link', { name: /^Go back to / }).click();
  await page.getByRole('button', { name: /^Continue to / }).click();
  await connection.finishAuth(await callback.next());
  expect(connection.provider.saved?.scope).toBe(`mcp:tools step_up:${stepUpId}`);
  expect((await connection.call('write_file', args)).isError).not.toBe(true);
  expect(await world.textOf(name)).toBe(args.content);
});
