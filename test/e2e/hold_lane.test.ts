import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { decideByScript } from '../../examples/demo/approver.ts';
import { readStepUp, type ServiceAgent, type Waiting } from '../../src/agent/index.ts';
import { launchBrowser, type PageOptions, type TestBrowser } from '../support/browser.ts';
import { type ToolResult, words } from './interactive_client.ts';
import { startWorld, type World } from './world.ts';

const ERAS = ['2026-07-28', '2025-11-25'] as const;
type Era = (typeof ERAS)[number];

// Real servers, SDKs and a browser on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let browser: TestBrowser;
let agent: ServiceAgent;
let taskId: string;
let fileNumber = 0;
const clients: Client[] = [];
const pages: Page[] = [];

beforeAll(async () => {
  [world, browser] = await Promise.all([startWorld(), launchBrowser()]);
  agent = await world.registerAgent();
});
afterAll(async () => {
  await browser?.close();
  await world?.close();
});
beforeEach(async () => {
  const task = { resource: world.resource, tools: ['read_text_file', 'write_file'], purpose: 'Tidy the notes' };
  taskId = (await agent.startTask(task)).taskId;
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  for (const page of pages.splice(0)) await page.context().close();
});

async function connect(era: Era = '2026-07-28'): Promise<Client> {
  const mode = era === '2026-07-28' ? ({ pin: era } as const) : ('legacy' as const);
  const client = new Client({ name: 'notes-agent', version: '1' }, { versionNegotiation: { mode } });
  const authProvider = agent.authProvider(taskId, world.resource);
  await client.connect(new StreamableHTTPClientTransport(new URL(world.resource), { authProvider }));
  clients.push(client);
  return client;
}

interface Held {
  readonly waiting: Waiting;
  readonly result: Promise<ToolResult>;
}

function nextWrite() {
  const name = `held-${fileNumber++}.md`;
  return { name, args: { path: world.file(name), content: `Text of ${name}\n` } };
}

/** Makes a call that is held, and gives back what its progress says while it is. */
async function hold(client: Client, args: Record<string, unknown>, signal?: AbortSignal): Promise<Held> {
  let tell: (waiting: Waiting) => void = () => {};
  const told = new Promise<Waiting>((resolve) => {
    tell = resolve;
  });
  const result = client.callTool(
    { name: 'write_file', arguments: args },
    {
      onprogress: (progress) => {
        const verdict = readStepUp(progress);
        if (verdict?.kind === 'waiting') tell(verdict);
      },
      ...(signal === undefined ? {} : { signal }),
    },
  ) as unknown as Promise<ToolResult>;
  result.catch(() => {});
  const early = result.then((answer) => {
    throw new Error(`The call was not held: ${words(answer)}`);
  });
  return { waiting: await Promise.race([told, early]), result };
}

async function openPage(waiting: Waiting, options: PageOptions = {}): Promise<Page> {
  const page = await browser.newPage(options);
  pages.push(page);
  await world.signIn(page);
  await page.goto(waiting.approvalUrl);
  return page;
}

async function stateOf({ stepUpId }: Waiting): Promise<string> {
  const { db } = world.store;
  const row = await db.selectFrom('step_ups').select('state').where('id', '=', stepUpId).executeTakeFirstOrThrow();
  return row.state;
}

async function usesOf({ stepUpId }: Waiting): Promise<number[]> {
  const rows = await world.store.db.selectFrom('grants').select('uses').where('step_up_id', '=', stepUpId).execute();
  return rows.map((row) => row.uses);
}

describe.each(ERAS)('a service agent that speaks %s', (era) => {
  test('is held until a person approves on a phone without JavaScript, then the paused call finishes', async () => {
    const client = await connect(era);
    const { name, args } = nextWrite();
    const held = await hold(client, args);
    const page = await openPage(held.waiting, { device: 'phone', javaScriptEnabled: false });
    expect(await page.locator('h1').textContent()).toContain('Notes agent');
    expect(await page.locator('.arguments').textContent()).toContain(args.path);
    expect(await page.locator('article').textContent()).toContain('Tidy the notes');
    expect(await world.textOf(name)).toBeNull();
    await page.getByRole('button', { name: 'Approve once' }).click();
    await page.getByText('Approved by Olga').waitFor();
    const result = await held.result;
    expect(result.isError, words(result)).not.toBe(true);
    expect(await world.textOf(name)).toBe(args.content);
    expect(await usesOf(held.waiting)).toEqual([1]);
  });

  test('is told the reason when a person denies', async () => {
    const client = await connect(era);
    const { name, args } = nextWrite();
    const held = await hold(client, args);
    const page = await openPage(held.waiting, { device: 'phone' });
    await page.getByLabel('The target or the content is wrong.').check();
    await page.getByLabel('In your own words').fill('Write to archive.md.');
    await page.getByRole('button', { name: 'Deny this call' }).click();
    await page.getByText('Denied by Olga').waitFor();
    const result = await held.result;
    expect(result.isError).toBe(true);
    expect(words(result)).toContain('The target or the content is wrong. Write to archive.md.');
    expect(result._meta?.['countersign/refusal']).toMatchObject({ error: 'step_up_denied' });
    expect(await world.textOf(name)).toBeNull();
  });

  test('whose connection drops leaves the request open; nothing runs until it calls again after the approval', async () => {
    const leaving = await connect(era);
    const { name, args } = nextWrite();
    const held = await hold(leaving, args);
    await leaving.close();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await stateOf(held.waiting)).toBe('open');
    await decideByScript(world.operator, held.waiting, 'approve');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await world.textOf(name)).toBeNull();
    expect(await usesOf(held.waiting)).toEqual([0]);

    const client = await connect(era);
    const result = (await client.callTool({ name: 'write_file', arguments: args })) as unknown as ToolResult;
    expect(result.isError, words(result)).not.toBe(true);
    expect(await world.textOf(name)).toBe(args.content);
    expect(await usesOf(held.waiting)).toEqual([1]);
  });

  test('whose task ends has its request withdrawn, and is told', async () => {
    const client = await connect(era);
    const { name, args } = nextWrite();
    const held = await hold(client, args);
    const page = await openPage(held.waiting);
    await agent.endTask(taskId);
    const said = await held.result.then(words, String);
    expect(said).toMatch(/task has ended|withdrawn/i);
    expect(await stateOf(held.waiting)).toBe('withdrawn');
    await page.getByText('Withdrawn', { exact: false }).first().waitFor();
    expect(await page.getByRole('button', { name: 'Approve once' }).count()).toBe(0);
    expect(await world.textOf(name)).toBeNull();
  });
});

test('the open page follows a decision made elsewhere, and the outcome after it', async () => {
  const client = await connect();
  const { name, args } = nextWrite();
  const held = await hold(client, args);
  const page = await openPage(held.waiting);
  await page.getByRole('button', { name: 'Approve once' }).waitFor();
  await decideByScript(world.operator, held.waiting, 'approve');
  await page.getByText('Approved by Olga').waitFor();
  await page.getByText('and finished').waitFor();
  expect(await page.getByRole('button', { name: 'Approve once' }).count()).toBe(0);
  expect((await held.result).isError).not.toBe(true);
  expect(await world.textOf(name)).toBe(args.content);
});

test('an explicit cancel withdraws the request: approving is too late and nothing runs', async () => {
  const client = await connect('2025-11-25');
  const { name, args } = nextWrite();
  const cancelling = new AbortController();
  const held = await hold(client, args, cancelling.signal);
  const page = await openPage(held.waiting, { javaScriptEnabled: false });
  cancelling.abort();
  await expect(held.result).rejects.toThrow();
  await expect.poll(() => stateOf(held.waiting), { timeout: 5_000 }).toBe('withdrawn');
  await page.getByRole('button', { name: 'Approve once' }).click();
  expect(await page.locator('main').textContent()).toMatch(/withdrawn|cancel/i);
  expect(await stateOf(held.waiting)).toBe('withdrawn');
  expect(await world.textOf(name)).toBeNull();
});

test('a client of 2026-07-28 can only hang up, which is no cancel: the request stays open', async () => {
  const client = await connect('2026-07-28');
  const { name, args } = nextWrite();
  const leaving = new AbortController();
  const held = await hold(client, args, leaving.signal);
  leaving.abort();
  await expect(held.result).rejects.toThrow();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await stateOf(held.waiting)).toBe('open');
  await decideByScript(world.operator, held.waiting, 'approve');
  expect(await world.textOf(name)).toBeNull();
});

test('a call without a progress token is not held: it is told where to go, and the same call works after it', async () => {
  const client = await connect();
  const { name, args } = nextWrite();
  const told = (await client.callTool({ name: 'write_file', arguments: args })) as unknown as ToolResult;
  const verdict = readStepUp(told);
  expect(verdict?.kind).toBe('waiting');
  await decideByScript(world.operator, verdict as Waiting, 'approve');
  const result = (await client.callTool({ name: 'write_file', arguments: args })) as unknown as ToolResult;
  expect(result.isError, words(result)).not.toBe(true);
  expect(await world.textOf(name)).toBe(args.content);
});
