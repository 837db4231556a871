import { describe, expect, test } from 'vitest';
import { consentPage } from '../../src/console/pages/consent_page.ts';
import { type TemplateEntry, taskTemplatesPage } from '../../src/console/pages/task_templates_page.ts';
import { amountOf } from '../../src/model/budget.ts';
import { sampleConsent } from './sample_views.ts';

const EVIL = '"><img src=x onerror=alert(1)>\u202e';
const textOf = (page: string) => page.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');

describe('what a program says of the task it wants', () => {
  const amount = amountOf({ toolServerId: 'tsv_files', tool: EVIL, argument: `/${EVIL}` });
  const page = consentPage(
    sampleConsent({
      said: { purpose: `Approve me ${EVIL}`, purposeLabel: 'Billing' },
      budget: [
        { what: 'calls', field: 'calls', suggested: '20' },
        { what: 'step_ups', field: 'step_ups', suggested: null },
        { what: amount, field: 'amount-0', suggested: '99.50' },
      ],
    }),
  ).body.toString();

  test('is shown as its own words, escaped and marked, and put into no field', () => {
    expect(textOf(page)).toContain('says of itself , which nobody has checked');
    expect(textOf(page)).toContain('Approve me');
    expect(page).not.toContain('<img');
    expect(page).not.toContain('\u202e');
    expect(page).toMatch(/name="purpose"[^>]*value="Work with files"/);
    expect(page).not.toMatch(/value="[^"]*Approve me/);
  });

  test('fills in limits that the person may change, with a label each', () => {
    expect(page).toContain('<details open>');
    expect(page).toMatch(/name="budget:calls"[^>]*value="20"/);
    expect(page).toMatch(/name="budget:step_ups"[^>]*value=""/);
    expect(page).toMatch(/name="budget:amount-0"[^>]*value="99\.50"/);
    for (const [, id] of page.matchAll(/<input type="text"[^>]* id="(limit-[^"]*)"/g)) {
      expect(page).toContain(`<label for="${id}">`);
    }
  });

  test('is no note and no open list of limits where it says nothing', () => {
    const silent = consentPage(sampleConsent()).body.toString();
    expect(silent).not.toContain('says of itself');
    expect(silent).toContain('<details><summary>Limit how much it may do</summary>');
  });
});

describe('a template for tasks', () => {
  const entry = (changes: Partial<TemplateEntry> = {}): TemplateEntry => ({
    id: 'tpl_a',
    name: 'nightly',
    agentId: 'agt_a',
    agentName: `Notes ${EVIL}`,
    requesterName: 'Ada',
    purpose: `Tidy ${EVIL}`,
    purposeCode: 'billing',
    tools: [{ toolServer: 'files', tools: ['read_file'] }],
    limits: [{ what: 'calls', maximum: '5' }],
    seconds: 900,
    state: 'pending',
    proposedBy: 'Ada',
    approvedBy: null,
    createdAt: new Date('2026-01-02T03:04:05Z'),
    endsAt: null,
    mayApprove: true,
    mayRetire: true,
    ...changes,
  });
  const pageOf = (...entries: TemplateEntry[]) => taskTemplatesPage(entries, 'token').body.toString();

  test('says who wants to do what for whom, with its limits, and the button says what it does', () => {
    const page = pageOf(entry());
    expect(page).not.toContain('<img');
    expect(page).not.toContain('\u202e');
    const text = textOf(page);
    expect(text).toContain('wants to start such tasks for Ada');
    expect(text).toContain('Calls: at most 5');
    expect(text).toContain('15 minutes at most');
    expect(text).toContain('billing, which policy relies on');
    expect(page).toContain('action="/task-templates/tpl_a/approve"');
    expect(text).toContain('Let it start such tasks');
  });

  test('has no button for people who may not, and says who may', () => {
    const page = pageOf(entry({ mayApprove: false, mayRetire: false }));
    expect(page).not.toContain('<form');
    expect(textOf(page)).toContain('must approve it');
  });

  test('is listed by what it is now, and an empty page says how one comes to be', () => {
    const text = textOf(pageOf(entry({ state: 'over' }), entry({ id: 'tpl_b', state: 'active' })));
    expect(text.indexOf('In force')).toBeLessThan(text.indexOf('Over'));
    expect(text).not.toContain('Waiting for approval');
    expect(textOf(pageOf())).toContain('/api/v1/task-templates');
  });
});
