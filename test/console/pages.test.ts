import { describe, expect, test } from 'vitest';
import { contentSecurityPolicy } from '../../src/console/headers.ts';
import { auditPage } from '../../src/console/pages/audit_page.ts';
import { toolServerPage } from '../../src/console/pages/tool_server_page.ts';
import { createPages } from '../../src/console/pages.ts';
import { interactionPath, ownPath, withReturn } from '../../src/console/return_to.ts';
import { deploymentText, duration, list } from '../../src/console/words.ts';
import { createVault } from '../../src/kernel/vault.ts';
import type { ConsentView } from '../../src/model/consent_view.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { DEFAULT_RULES } from '../../src/model/rules.ts';
import type { StepUpWaitingView } from '../../src/model/step_up_waiting_view.ts';
import type { Store } from '../../src/store/store.ts';
import { SAMPLE_NOW, sampleConsent } from './sample_views.ts';

const EVIL = '<img src=x onerror=alert(1)>';
const ADA: SignedIn = {
  sessionIdHash: 'hash',
  person: { id: 'prs_ada', displayName: 'Ada', isAdministrator: false },
  amr: ['link'],
  authenticatedAt: SAMPLE_NOW,
};

function pagesFor(changes: { singleOperator?: boolean; issuer?: string } = {}) {
  const store = {
    issuer: changes.issuer ?? 'http://localhost:9400',
    rules: { ...DEFAULT_RULES, singleOperator: changes.singleOperator ?? false },
    vault: createVault(Buffer.alloc(32, 7)),
  };
  return createPages(store as Store);
}
const pages = pagesFor();
const consent = (changes: Partial<ConsentView> = {}, from = pages) => from.consent(sampleConsent(changes), ADA);

const textOf = (page: string) => page.replace(/<[^>]*>/g, '').replace(/\s+/g, ' ');

describe('the consent page', () => {
  test('says who asks, where the answer goes, for what, which tools and how long', () => {
    const text = textOf(consent());
    expect(text).toContain('Notes agent wants to use files for you');
    expect(text).toContain('notes.example');
    expect(text).toContain('127.0.0.1:3334');
    expect(text).toContain('15 minutes');
    expect(text).toMatch(/Change things asks each time/);
  });

  test('warns when the answer stays on this computer, and only then', () => {
    expect(consent()).toContain('The answer stays on this computer');
    const client = { ...sampleConsent().client, isLoopback: false, redirectHost: 'notes.example' };
    expect(consent({ client })).not.toContain('The answer stays on this computer');
  });

  test('lets the person narrow tools, time and purpose, and refuse', () => {
    const page = consent();
    expect(page).toMatch(/<input type="checkbox" name="tool:write_file" value="yes" checked>/);
    expect(page).toMatch(/<input type="radio" name="seconds" value="3600" required checked>/);
    expect(page).toMatch(/name="purpose" required/);
    expect(page).toMatch(/name="decision" value="refuse"/);
  });

  test('cuts a long description after a sentence or a word, and marks that there is more', () => {
    const tool = (description: string) => ({ name: 'a', title: 'a', description, risk: 'read' as const });
    const long = 'and goes on about it for much longer than anybody would read in a list of many tools';
    const page = consent({ tools: [tool(`Reads one file. It does ${long}`), tool(`Reads one file, ${long}`)] });
    expect(page).toContain('Reads one file. …');
    expect(page).toMatch(/Reads one file, and goes on [a-z ]*[a-z] …/);
    expect(page).not.toMatch(/many …/);
    expect(consent({ tools: [tool('Short.')] })).not.toContain('…');
  });

  test('escapes what clients and tool servers say of themselves', () => {
    const { client, toolServer } = sampleConsent();
    const page = consent({
      client: { ...client, name: EVIL, host: EVIL, redirectHost: EVIL },
      toolServer: { ...toolServer, name: EVIL, resource: EVIL },
      tools: [{ name: EVIL, title: EVIL, description: EVIL, risk: 'critical' }],
      suggestedPurpose: EVIL,
    });
    expect(page).not.toContain('<img');
  });
});

describe('the page of a tool server', () => {
  test('shows descriptions as text, and both sides of a change with what differs marked', () => {
    const page = toolServerPage({
      id: 'tsv_x',
      name: EVIL,
      resource: EVIL,
      state: 'active',
      deployment: EVIL,
      keyThumbprint: 'thumb',
      owner: EVIL,
      createdAt: SAMPLE_NOW,
      csrf: 'c',
      agents: [{ id: 'agt_x', name: EVIL, isActing: true }],
      mayPair: true,
      mayDecide: true,
      tools: [
        {
          name: EVIL,
          state: 'accepted',
          description: EVIL,
          risk: 'write',
          digest: 'old',
          definition: '{\n  "a": 1\n}',
          proposed: { digest: 'new', definition: '{\n  "a": 2\n}', risk: null },
        },
      ],
    }).body.toString();
    expect(page).not.toContain('<img');
    expect(page).toContain('<b class="changed">  &quot;a&quot;: 2</b>');
    expect(page).toContain('value="new"');
  });
});

const WAITING: StepUpWaitingView = {
  uid: 'u',
  stepUpId: 'stp_abcdefghijklmnopqrstuvwxyz',
  state: 'open',
  clientName: 'Notes agent',
  stepUpUrl: '/step-ups/x',
  continueUrl: '/interaction/u/continue',
  csrf: 'c',
  refreshSeconds: 3,
};

describe('the page that waits for a step-up', () => {
  test('looks again by itself only while there is something to wait for', () => {
    expect(pages.stepUpWaiting(WAITING, ADA)).toContain('<meta http-equiv="refresh" content="3">');
    const over = pages.stepUpWaiting({ ...WAITING, state: 'denied', refreshSeconds: null }, ADA);
    expect(over).not.toContain('http-equiv');
    expect(textOf(over)).toContain('The call was denied.');
  });
});

describe('an issuer with a path', () => {
  test('stands before every address of ours, once, and before nothing else', () => {
    const page = pagesFor({ issuer: 'https://id.example/auth' }).consent(
      sampleConsent({ suggestedPurpose: 'see href="/x" there' }),
      ADA,
    );
    expect(page).toContain('action="/auth/interaction/uid/consent"');
    expect(page).toContain('href="/auth/assets/console.css"');
    expect(page).not.toMatch(/ (href|src|action)="\/(?!auth\/)/);
    expect(page).toContain('see href=&quot;/x&quot; there');
    const already = pagesFor({ issuer: 'https://id.example/auth' });
    expect(already.stepUpWaiting({ ...WAITING, stepUpUrl: '/auth/step-ups/x' }, ADA)).toContain('"/auth/step-ups/x"');
  });

  test('is taken off paths that come back', () => {
    expect(ownPath('/auth/tasks', '/auth')).toBe('/tasks');
    expect(interactionPath('/auth/interaction/u', '/auth')).toBe('/interaction/u');
    expect(ownPath('/other/tasks', '/auth')).toBeNull();
  });
});

describe('every page', () => {
  test('says in which mode the server runs', () => {
    const inSingleOperatorMode = pagesFor({ singleOperator: true });
    const refusal = { code: 'not_found', message: 'x' } as const;
    for (const render of [
      (from: typeof pages) => consent({}, from),
      (from: typeof pages) => from.error(refusal),
      (from: typeof pages) => from.stepUpWaiting(WAITING, ADA),
    ]) {
      expect(render(inSingleOperatorMode)).toContain('Single-operator mode');
      expect(render(pages)).not.toContain('Single-operator mode');
    }
  });

  test('has a language, a title and a way past the navigation', () => {
    const page = pages.error({ code: 'not_found', message: 'x' });
    expect(page).toMatch(/<html lang="en">/);
    expect(page).toMatch(/<title>[^<]+<\/title>/);
    expect(page).toContain('href="#main"');
  });

  test('an error says what happened, that nothing changed, once, and what to do', () => {
    const plain = textOf(pages.error({ code: 'already_decided', message: 'Ben denied this.' }));
    expect(plain).toMatch(/decided already.*Ben denied this\..*Nothing was changed\..*Go back/);
    const says = textOf(pages.error({ code: 'conflict', message: 'It is over. Nothing was changed.' }));
    expect(says.match(/Nothing was changed/g)).toHaveLength(1);
    expect(pages.error({ code: 'not_found', message: EVIL })).not.toContain('<img');
  });

  test('an empty page says what will appear there', () => {
    const body = auditPage({ entries: [], checkpoint: null, verification: null, csrf: 'c' }).body.toString();
    expect(body).toContain('will be listed');
  });
});

describe('where a page may lead', () => {
  test.each([
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    '/interaction/../evil',
    '/interaction/a/b/c',
    'javascript:alert(1)',
    '/sign-out',
    '/step-ups/stp_abcdefghijklmnopqrstuvwxyz?return_to=https%3A%2F%2Fevil.example',
    '',
  ])('not to %s', (value) => {
    expect(ownPath(value)).toBeNull();
    expect(interactionPath(value)).toBeNull();
  });

  test('to our own pages, and back into an authorization', () => {
    const stepUp = '/step-ups/stp_abcdefghijklmnopqrstuvwxyz';
    expect(ownPath(stepUp)).toBe(stepUp);
    const withInteraction = withReturn(stepUp, '/interaction/a_B-1');
    expect(ownPath(withInteraction)).toBe(withInteraction);
    expect(interactionPath('/interaction/a_B-1')).toBe('/interaction/a_B-1');
  });
});

describe('the content security policy', () => {
  test('allows nothing from elsewhere, nothing inline and no frame', () => {
    const policy = contentSecurityPolicy([]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain("base-uri 'none'");
    expect(policy).not.toMatch(/unsafe|\*|data:/);
  });

  test('takes a form target only if it is one origin', () => {
    expect(contentSecurityPolicy(['http://127.0.0.1:3334'])).toContain("form-action 'self' http://127.0.0.1:3334");
    expect(() => contentSecurityPolicy(["https://a.example; script-src 'unsafe-inline'"])).toThrow();
  });
});

test('words for people', () => {
  expect([duration(300), duration(5400), duration(1), duration(0)]).toEqual([
    '5 minutes',
    '1 hour 30 minutes',
    '1 second',
    '0 seconds',
  ]);
  expect(list(['a', 'b', 'c'], 'or')).toBe('a, b or c');
  expect(deploymentText('{"kind":"stdio","command":"npx","args":["a b","c"],"env_names":[]}')).toBe('npx "a b" c');
  expect(deploymentText('{"kind":"http","url":"https://x.example/mcp"}')).toBe('https://x.example/mcp');
  expect(deploymentText('not json')).toBe('not json');
});
