import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { launchBrowser, type TestBrowser } from '../support/browser.ts';
import { type ClientDocument, serveClientDocument } from './client_document.ts';
import { allow, connectByConsent, lastOpened } from './consent_trip.ts';
import {
  BrowserProvider,
  type Callback,
  type Connection,
  KINDS,
  type Kind,
  listenForCallback,
  newConnection,
  words,
} from './interactive_client.ts';
import { startWorld, type World } from './world.ts';

const ids = { 'v2 2026-07-28': 'modern', 'v2 2025-11-25': 'legacy', v1: 'one' } as const;

// Real servers, SDKs and a browser on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let browser: TestBrowser;
let document: ClientDocument;
let callback: Callback;
let page: Page;
const opened: Connection[] = [];

beforeAll(async () => {
  [world, browser, document, callback] = await Promise.all([
    startWorld({ clients: [...Object.values(ids), 'unwanted'] }),
    launchBrowser(),
    serveClientDocument('Notes app'),
    listenForCallback(),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await callback?.close();
  await document?.close();
  await world?.close();
});
afterEach(async () => {
  for (const connection of opened.splice(0)) await connection.close();
  await page?.context().close();
});

function open(kind: Kind, clientId: string): Connection {
  const connection = newConnection(kind, world.resource, new BrowserProvider(clientId, world.issuer, callback));
  opened.push(connection);
  return connection;
}

async function newPage(): Promise<Page> {
  page = await browser.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') expect(message.text()).not.toMatch(/Content Security Policy/);
  });
  return page;
}

async function refreshed(connection: Connection, token: string): Promise<Response> {
  return fetch(`${world.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: connection.provider.clientInformation()?.client_id ?? '',
      refresh_token: token,
    }),
  });
}

describe.each(KINDS)('an ordinary client: %s', (kind) => {
  test('401, metadata, browser: the person signs in by a link, narrows tools and time, and the client works', async () => {
    const connection = open(kind, ids[kind]);
    await expect(connection.connect()).rejects.toThrow(/Unauthorized/);
    const authorize = lastOpened(connection.provider);
    expect(authorize.searchParams.get('resource')).toBe(world.resource);

    await newPage();
    await page.goto(authorize.href);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    const returnTo = new URL(page.url()).searchParams.get('return_to');
    await page.goto(`${await world.signInLink()}?return_to=${encodeURIComponent(returnTo ?? '')}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: `Editor ${ids[kind]} wants to use files for you` }).waitFor();
    const facts = (await page.locator('dl.facts').textContent()) ?? '';
    expect(facts).toContain('registered here');
    expect(facts).toContain(new URL(callback.address).host);
    expect(facts).toContain(world.resource);
    await expect.poll(() => page.getByRole('checkbox').count()).toBe(14);
    const tools = ['list_directory', 'read_text_file', 'write_file'];
    await allow(page, { tools, purpose: 'Look after my notes', duration: '15 minutes' });
    await page.getByRole('heading', { name: 'Back in the program' }).waitFor();
    const params = await callback.next();
    expect(params.get('iss')).toBe(world.issuer);
    await connection.finishAuth(params);
    await connection.connect();

    expect(await connection.toolNames()).toEqual(tools);
    const read = await connection.call('read_text_file', { path: world.file('shopping.md') });
    expect(words(read)).toContain('Milk');
    const outside = await connection.call('get_file_info', { path: world.file('shopping.md') }).catch(String);
    expect(typeof outside === 'string' ? outside : words(outside)).toMatch(/does not include the tool/);
    const task = await world.store.db
      .selectFrom('tasks')
      .selectAll()
      .where('client_id', '=', ids[kind])
      .executeTakeFirstOrThrow();
    expect(task.purpose).toBe('Look after my notes');
    expect(task.expires_at.getTime() - task.created_at.getTime()).toBe(15 * 60_000);
  });

  test('the refresh token rotates; ending the task in the console kills the client', async () => {
    const connection = open(kind, ids[kind]);
    await newPage();
    await world.signIn(page);
    await connectByConsent(connection, callback, page, { purpose: `Work of ${kind}` });
    const first = connection.provider.saved!;
    const answer = await refreshed(connection, first.refresh_token!);
    expect(answer.status).toBe(200);
    const second = { ...first, ...((await answer.json()) as typeof first) };
    expect(second.refresh_token).not.toBe(first.refresh_token);
    connection.provider.saveTokens(second);
    expect(words(await connection.call('list_directory', { path: world.folder }))).toContain('shopping.md');

    await page.goto(`${world.issuer}/tasks`);
    await page.getByRole('link', { name: `Work of ${kind}` }).click();
    await page.getByRole('button', { name: 'End this task' }).click();
    await page.getByText('ended at').first().waitFor();
    const trips = connection.provider.opened.length;
    await expect(connection.call('list_directory', { path: world.folder })).rejects.toThrow(/Unauthorized/);
    expect(connection.provider.opened).toHaveLength(trips + 1);
    expect(((await (await refreshed(connection, second.refresh_token!)).json()) as { error: string }).error).toBe(
      'invalid_grant',
    );
  });
});

describe('a client known by its metadata document', () => {
  test.each(['v2 2026-07-28', 'v1'] as const)('%s: the page names the host that publishes it', async (kind) => {
    const connection = open(kind, document.address);
    await newPage();
    await world.signIn(page);
    await expect(connection.connect()).rejects.toThrow(/Unauthorized/);
    expect(lastOpened(connection.provider).searchParams.get('client_id')).toBe(document.address);
    await page.goto(lastOpened(connection.provider).href);
    await page.getByRole('heading', { name: 'Notes app wants to use files for you' }).waitFor();
    expect(await page.locator('dl.facts').textContent()).toContain(`says it is from ${new URL(document.address).host}`);
    await allow(page, { tools: ['list_directory'] });
    await connection.finishAuth(await callback.next());
    await connection.connect();
    expect(await connection.toolNames()).toEqual(['list_directory']);
  });
});

test('a person who refuses gives nothing: the client is told, no task starts', async () => {
  const connection = open('v2 2026-07-28', 'unwanted');
  await newPage();
  await world.signIn(page);
  await expect(connection.connect()).rejects.toThrow(/Unauthorized/);
  await page.goto(lastOpened(connection.provider).href);
  await page.getByRole('button', { name: 'Refuse', exact: true }).click();
  const params = await callback.next();
  expect(params.get('error')).toBe('access_denied');
  await expect(connection.finishAuth(params)).rejects.toThrow();
  const { db } = world.store;
  expect(await db.selectFrom('tasks').select('id').where('client_id', '=', 'unwanted').execute()).toEqual([]);
});
