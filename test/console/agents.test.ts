import { exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pendingChangeOf } from '../../src/agents/change.ts';
import { approvePeer } from '../../src/agents/peers.ts';
import { type Agent, createAgent, findAgent } from '../../src/agents/registry.ts';
import { flushAgentUses, recordAgentUse } from '../../src/agents/uses.ts';
import { listWorkloads } from '../../src/agents/workloads.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { launchBrowser } from '../support/browser.ts';
import { PLATFORM, type ServedConsole, serveConsole } from './served_console.ts';

let served: ServedConsole;
let grace: SignedIn;
let olga: SignedIn;
let ada: SignedIn;
let dora: SignedIn;
/** Of each person, the value of the Cookie header. */
const cookies = new Map<SignedIn, string>();

beforeAll(async () => {
  served = await serveConsole();
  const { scenario } = served;
  [ada, grace] = [scenario.requester, scenario.administrator];
  [olga, dora] = [await scenario.addPerson('Olga', true), await scenario.addPerson('Dora', false)];
  for (const person of [ada, grace, olga, dora]) cookies.set(person, await served.signIn(person));
});
afterAll(() => served.close());

const newKeys = async () => ({ keys: [await exportJWK((await generateKeyPair('ES256')).publicKey)] });
const now = async (id: string): Promise<Agent> => (await findAgent(served.store, id))!;

async function page(path: string, person: SignedIn): Promise<string> {
  return (await served.get(path, cookies.get(person)!)).text();
}

/** The form on a page that posts to `action`, as a browser would send it untouched. */
function formOn(html: string, action: string): Record<string, string> {
  const form = html.split('<form ').find((part) => part.includes(`action="${action}"`));
  if (form === undefined) throw new Error(`There is no form ${action}`);
  const inner = form.split('</form>')[0]!;
  const plain = (text: string) => text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');
  const inputs = [...inner.matchAll(/<input ([^>]*)>/g)]
    .map(([, attributes]) => attributes!)
    .filter((attributes) => !attributes.includes('type="checkbox"') || / checked/.test(attributes))
    .map((attributes) => [
      /name="([^"]*)"/.exec(attributes)![1]!,
      plain(/value="([^"]*)"/.exec(attributes)?.[1] ?? ''),
    ]);
  const selects = [...inner.matchAll(/<select [^>]*name="([^"]*)"[^>]*>(.*?)<\/select>/gs)].map(([, name, options]) => [
    name!,
    /<option value="([^"]*)" selected/.exec(options!)?.[1] ?? /<option value="([^"]*)"/.exec(options!)?.[1] ?? '',
  ]);
  return Object.fromEntries([...inputs, ...selects]);
}

async function submit(person: SignedIn, path: string, action: string, fields: Record<string, string> = {}) {
  return served.post(action, cookies.get(person)!, { ...formOn(await page(path, person), action), ...fields });
}

async function propose(person: SignedIn, fields: Record<string, string> = {}): Promise<string> {
  const answer = await submit(person, '/agents', '/agents', {
    ...{ name: 'Billing', purpose: 'Sends invoices', owner: ada.person.id, deputy: dora.person.id },
    ...{ jwks: JSON.stringify(await newKeys()), ...fields },
  });
  const id = /agt_[a-z2-7]{26}/.exec(answer.headers.get('location') ?? '')?.[0];
  if (id === undefined) throw new Error(`${answer.status} ${await answer.text()}`);
  return id;
}

async function active(bound: Record<string, string[]> | null = null): Promise<string> {
  const made = await createAgent(served.store, {
    ...{ name: 'Notes', purpose: 'Keeps notes', ownerId: ada.person.id, deputyId: dora.person.id, bound },
    ...{ by: grace.person.id, ...(await newKeys()) },
  });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.id;
}

describe('a proposal', () => {
  test('of anybody waits on its page until another administrator approves it there', async () => {
    const id = await propose(olga, {
      delegation_depth_max: '2',
      [`tool:${served.scenario.server.id}:read_file`]: 'yes',
    });
    expect(await now(id)).toMatchObject({ state: 'pending', delegation_depth_max: 2 });
    const own = await page(`/agents/${id}`, olga);
    expect(own).toContain('waits for approval');
    expect(own).not.toContain('Approve this agent');
    expect(await page('/agents', grace)).toContain('approve or refuse it');
    const path = `/agents/${id}`;
    const theirs = await page(path, grace);
    for (const words of ['Olga', 'Ada', 'Dora', 'read_file', 'up to 2 agents may follow it'])
      expect(theirs).toContain(words);
    const { csrf } = formOn(theirs, `${path}/approve`);
    // Olga has a valid session and posts without the form.
    const stolen = await served.post(`${path}/approve`, cookies.get(olga)!, { csrf: csrf! });
    expect(stolen.status).toBe(403);
    const forged = formOn(own, `${path}/refuse`);
    expect((await served.post(`${path}/approve`, cookies.get(olga)!, forged)).status).toBe(403);
    expect((await now(id)).state).toBe('pending');
    expect((await submit(grace, path, `${path}/approve`)).status).toBe(303);
    expect(await now(id)).toMatchObject({ state: 'active', approved_by: grace.person.id });
  });

  test('by somebody who is no administrator is possible, and is taken back by them', async () => {
    const id = await propose(dora, { owner: dora.person.id, deputy: ada.person.id });
    expect(await page(`/agents/${id}`, dora)).toContain('Take it back');
    expect((await submit(dora, `/agents/${id}`, `/agents/${id}/refuse`)).status).toBe(303);
    expect((await now(id)).state).toBe('offboarded');
  });

  test('without a deputy, or with keys that are none, is refused in words', async () => {
    for (const [fields, words] of [
      [{ deputy: '' }, 'Name a deputy'],
      [{ jwks: 'nothing' }, 'must be a JSON Web Key Set'],
      [{ jwks: '{"keys":[null]}' }, 'must be a JSON Web Key Set'],
      [{ key_days: 'soon' }, 'key_days'],
      [{ owner: 'prs_x' }, 'no person with the id of the owner'],
      [{ trust_zone: 'A B' }, 'trust_zone'],
      [{ ends_at: '2001-01-01' }, 'in the future'],
    ] as const) {
      const answer = await submit(olga, '/agents', '/agents', {
        ...{
          name: 'B',
          purpose: 'P',
          owner: ada.person.id,
          deputy: dora.person.id,
          jwks: JSON.stringify(await newKeys()),
        },
        ...fields,
      });
      expect(answer.status).toBe(400);
      expect(await answer.text()).toContain(words);
    }
  });
});

describe('the page of an agent', () => {
  test('is shown to who has a part in it only, and gives strangers no way to change it', async () => {
    const id = await active();
    const stranger = await served.scenario.addPerson('Sam', false);
    cookies.set(stranger, await served.signIn(stranger));
    expect((await served.get(`/agents/${id}`, cookies.get(stranger)!)).status).toBe(404);
    expect(await page('/agents', stranger)).not.toContain(id);
    const { csrf } = formOn(await page(`/agents/${id}`, ada), `/agents/${id}/suspend`);
    const answer = await served.post(`/agents/${id}/suspend`, cookies.get(stranger)!, { csrf: csrf! });
    expect([403, 404]).toContain(answer.status);
    expect((await now(id)).state).toBe('active');
  });

  test('takes away at once, and shows what is asked for until another administrator approves it', async () => {
    const { id: server } = served.scenario.server;
    const id = await active({ [server]: ['read_file', 'write_file'] });
    const path = `/agents/${id}`;
    // The form as it is shown changes nothing.
    expect((await submit(ada, path, `${path}/change`)).status).toBe(303);
    expect(pendingChangeOf(await now(id))).toBeNull();
    const html = await page(path, ada);
    const fields = formOn(html, `${path}/change`);
    delete fields[`tool:${server}:write_file`];
    const sent = { ...fields, delegation_depth_max: '3', trust_zone: 'finance' };
    expect((await served.post(`${path}/change`, cookies.get(ada)!, sent)).status).toBe(303);
    expect(await now(id)).toMatchObject({ bound: { [server]: ['read_file'] }, delegation_depth_max: 0 });
    expect(await page(path, ada)).not.toContain('Approve this change');
    const shown = await page(path, grace);
    for (const words of ['Ada asks for more', 'may not hand work on', 'up to 3 agents may follow it', 'finance']) {
      expect(shown).toContain(words);
    }
    expect((await submit(grace, path, `${path}/change/approve`)).status).toBe(303);
    expect(await now(id)).toMatchObject({ delegation_depth_max: 3, trust_zone: 'finance', pending_change: null });
    expect((await submit(ada, path, `${path}/change`, { trust_zone: 'pay' })).status).toBe(303);
    expect((await submit(dora, path, `${path}/change/refuse`)).status).toBe(303);
    expect(await now(id)).toMatchObject({ trust_zone: 'finance', pending_change: null });
  });

  test('takes away with one click what was never used', async () => {
    const { id: server } = served.scenario.server;
    const id = await active({ [server]: ['read_file', 'write_file', 'erase_disk'] });
    recordAgentUse(served.store, { agentIds: [id], toolServerId: server, toolName: 'read_file' });
    await flushAgentUses(served.store);
    expect(await page(`/agents/${id}`, ada)).toContain('Take away the 2 tools it never used');
    const forms = (await page(`/agents/${id}`, ada)).split('<form ').filter((form) => form.includes('it never used'));
    const [form] = forms;
    const fields = formOn(`<form ${form}`, `/agents/${id}/review`);
    expect((await served.post(`/agents/${id}/review`, cookies.get(ada)!, fields)).status).toBe(303);
    expect((await now(id)).bound).toEqual({ [server]: ['read_file'] });
  });

  test('suspends, says what ended, and lets administrators resume', async () => {
    const id = await active();
    const path = `/agents/${id}`;
    const answer = await submit(dora, path, `${path}/suspend`, { reason: 'Odd calls <b>' });
    expect(await answer.text()).toContain('Notes is suspended');
    const shown = await page(path, ada);
    expect(shown).toContain('Odd calls &lt;b&gt;');
    expect(shown).not.toContain(`${path}/resume`);
    expect((await submit(grace, path, `${path}/resume`)).status).toBe(303);
    expect((await now(id)).state).toBe('active');
    expect((await submit(ada, path, `${path}/offboard`)).status).toBe(400);
    expect((await now(id)).state).toBe('active');
    expect((await submit(ada, path, `${path}/offboard`, { is_sure: 'yes' })).status).toBe(200);
    expect((await now(id)).state).toBe('offboarded');
    expect(await page(path, ada)).not.toContain('<form method="post" action="/agents/');
  });

  test('hands it over, replaces its keys, and allows peers', async () => {
    const [id, other] = [await active(), await active()];
    const path = `/agents/${id}`;
    expect((await submit(ada, path, `${path}/transfer`, { owner: olga.person.id })).status).toBe(303);
    expect(await now(id)).toMatchObject({ owner_id: olga.person.id, deputy_id: dora.person.id });
    expect(await page(path, olga)).toContain('Who answered for it');
    expect((await submit(olga, path, `${path}/keys`, { jwks: JSON.stringify(await newKeys()) })).status).toBe(303);
    expect((await submit(olga, path, `${path}/peers`, { direction: 'to', peer: other })).status).toBe(303);
    expect(await page(path, olga)).toContain('Not in force');
    await approvePeer(served.store, { agentId: other, direction: 'from', peerId: id, by: ada.person.id });
    expect(await page(path, olga)).not.toContain('Not in force');
    expect(await page(path, olga)).toContain('ends what was handed on');
    expect((await submit(olga, path, `${path}/peers/remove`)).status).toBe(303);
    expect(await page(path, olga)).toContain('Agents that it works with will be listed here');
  });
});

describe('the workloads of an agent', () => {
  const subject = 'repo:acme/shop:environment:production';

  test('are added with their claims, shown with their last use, and removed', async () => {
    const id = await active();
    const path = `/agents/${id}`;
    const fields = { subject: ` ${subject} `, claims: 'repository_id=123\r\n\r\n ref = a=b<i> \r\n' };
    expect((await submit(ada, path, `${path}/workloads`, fields)).status).toBe(303);
    const [made] = await listWorkloads(served.store, id);
    expect(made).toMatchObject({ issuer: PLATFORM.issuer, subject, claims: { repository_id: '123', ref: 'a=b<i>' } });
    expect(made).toMatchObject({ created_by: ada.person.id });
    const shown = await page(path, dora);
    for (const words of [subject, PLATFORM.issuer, 'repository_id=123', 'ref=a=b&lt;i&gt;', 'Not used yet']) {
      expect(shown).toContain(words);
    }
    const used = { last_used_at: new Date() };
    await served.store.db.updateTable('agent_workloads').set(used).where('id', '=', made!.id).execute();
    expect((await page(path, dora)).split('<h2>Workloads</h2>')[1]!.split('</section>')[0]).toContain('Last used');
    expect((await submit(dora, path, `${path}/workloads/remove`)).status).toBe(303);
    expect(await listWorkloads(served.store, id)).toEqual([]);
  });

  test('are refused in words where they are over REST, and where a line is no claim', async () => {
    const id = await active();
    const path = `/agents/${id}`;
    for (const [fields, words] of [
      [{ subject: '*' }, 'A &quot;*&quot; may be'],
      [{ subject: 'repo:*' }, 'would match almost anything'],
      [{ subject: '' }, 'none of them white space'],
      [{ subject, issuer: 'https://ci.example' }, 'are not trusted here'],
      [{ subject, claims: 'sub=x' }, 'is checked in any case'],
      [{ subject, claims: 'ref=refs/*' }, 'is compared exactly'],
      [{ subject, claims: 'ref=' }, 'must not be empty'],
      [{ subject, claims: 'a=1\nmain' }, 'Line 2 of the claims'],
      [{ subject, claims: '=main' }, 'Line 1 of the claims'],
      [{ subject, claims: 'a=1\na=2' }, 'is there twice'],
    ] as const) {
      const answer = await submit(ada, path, `${path}/workloads`, fields);
      expect(answer.status, words).toBe(400);
      expect(await answer.text()).toContain(words);
    }
    const gone = { ...formOn(await page(path, ada), `${path}/workloads`), workload: 'wkl_x' };
    expect((await served.post(`${path}/workloads/remove`, cookies.get(ada)!, gone)).status).toBe(404);
    expect(await listWorkloads(served.store, id)).toEqual([]);
  });

  test('are changed by nobody who only proposed the agent, and by no form of another page', async () => {
    const [id, other] = [await active(), await active()];
    const sam = await served.scenario.addPerson('Sam', false);
    cookies.set(sam, await served.signIn(sam));
    await served.store.db.updateTable('agents').set({ proposed_by: sam.person.id }).where('id', '=', id).execute();
    const path = `/agents/${id}`;
    expect((await submit(ada, path, `${path}/workloads`, { subject })).status).toBe(303);
    const theirs = await page(path, sam);
    expect(theirs).toContain(subject);
    expect(theirs).not.toContain(`${path}/workloads`);
    const foreign = formOn(await page(`/agents/${other}`, ada), `/agents/${other}/workloads`);
    const answer = await served.post(`${path}/workloads`, cookies.get(ada)!, { ...foreign, subject: `${subject}2` });
    expect(answer.status).toBe(403);
    expect(await listWorkloads(served.store, id)).toHaveLength(1);
  });

  test('are added and removed on a phone without JavaScript and at a desk, and nothing is wider than the page', async () => {
    const browser = await launchBrowser();
    try {
      const long = `repo:acme/${'a-very-long-name-'.repeat(8)}:environment:production`;
      for (const options of [{ device: 'phone', javaScriptEnabled: false }, {}] as const) {
        const id = await active();
        const view = await browser.newPage(options);
        await served.signInBrowser(view, ada);
        await view.goto(`${served.origin}/agents/${id}`);
        await view.getByText('Add a workload').click();
        await view.getByLabel('Subject').fill(long);
        await view.getByLabel('Claims').fill(`repository_id=${'1'.repeat(100)}\nref=refs/heads/main`);
        await view.getByRole('button', { name: 'Let it sign in as this agent' }).click();
        await view.getByText(long).waitFor();
        const wide = await view.locator('html').evaluate((page) => page.scrollWidth - page.clientWidth);
        expect(wide).toBe(0);
        const remove = view.getByRole('button', { name: 'Remove', exact: true });
        expect((await remove.boundingBox())!.height).toBeGreaterThanOrEqual(44);
        await remove.click();
        await view.getByText('will be listed here', { exact: false }).first().waitFor();
        expect(await listWorkloads(served.store, id)).toEqual([]);
        await view.context().close();
      }
    } finally {
      await browser.close();
    }
  }, 60_000);
});

test('alone on a server of a single operator, one person registers an agent in one step', async () => {
  const alone = await serveConsole({ rules: { singleOperator: true } }, []);
  try {
    const operator = alone.scenario.administrator;
    const cookie = await alone.signIn(operator);
    const html = await (await alone.get('/agents', cookie)).text();
    expect(html).toContain('Register a service agent');
    const answer = await alone.post('/agents', cookie, {
      ...formOn(html, '/agents'),
      ...{ name: 'Notes', purpose: 'Keeps notes', jwks: JSON.stringify(await newKeys()) },
    });
    const id = /agt_[a-z2-7]{26}/.exec(answer.headers.get('location') ?? '')![0];
    expect(await findAgent(alone.store, id)).toMatchObject({ state: 'active', deputy_id: null });
    expect(await (await alone.get(`/agents/${id}`, cookie)).text()).toContain('No platform is trusted here');
  } finally {
    await alone.close();
  }
});
