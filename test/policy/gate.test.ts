import { describe, expect, test } from 'vitest';
import { gateOn, PERMIT_TASK_TOOLS, problemsOf, setOf } from './scenario.ts';

const CONDITION = 'unless { context.approvals.contains("gate") }';
const SCOPE = 'forbid (principal, action == Action::"call", resource)';

function gate(annotations: string, rest = `${SCOPE} ${CONDITION};`): string {
  return `\n\n@id("g") ${annotations} ${rest}`;
}

describe('a gate is read with everything it asks for', () => {
  test('written out', () => {
    const annotations = `@stepup("Money leaves.") @approvers("group:finance, person:prs_cfo,owner") @quorum("2")
      @ttl("PT1H30M") @max_uses("4") @tier("critical") @timeout("PT45S")`;
    const [only] = setOf(gate(annotations)).gates.values();
    expect(only).toEqual({
      name: expect.stringMatching(/^gate:g#[A-Za-z0-9_-]{43}$/),
      policy_id: 'g',
      why: 'Money leaves.',
      approvers: ['group:finance', 'person:prs_cfo', 'owner'],
      quorum: 2,
      tier: 'critical',
      ttl_seconds: 5400,
      max_uses: 4,
      timeout_seconds: 45,
    });
  });

  test('left out: the narrowest', () => {
    const [only] = setOf(gate('@stepup("Look.") @approvers("requester")')).gates.values();
    expect(only).toMatchObject({ quorum: 1, tier: 'standard', ttl_seconds: 300, max_uses: 1, timeout_seconds: 600 });
  });

  test('its name changes with every annotation, and with nothing else', () => {
    const name = (text: string) => [...setOf(text).gates.keys()][0];
    const base = name(gate('@stepup("Look.") @approvers("requester")'));
    expect(name(`// moved\n${gate('@approvers("requester")\n@stepup("Look.")')}`)).toBe(base);
    const changes = ['@quorum("1")', '@ttl("PT1M")', '@max_uses("2")', '@tier("passkey")', '@timeout("PT1M")'];
    const names = [
      base,
      name(gate('@stepup("Look!") @approvers("requester")')),
      name(gate('@stepup("Look.") @approvers("owner")')),
      ...changes.map((change) => name(gate(`@stepup("Look.") @approvers("requester") ${change}`))),
    ];
    expect(new Set(names).size).toBe(names.length);
  });

  test('a comment that looks like the condition is not taken for it', () => {
    const text = gate(
      '@stepup("Look.") @approvers("owner")',
      `${SCOPE} // ${CONDITION}\n when { resource.name == "gate" } ${CONDITION};`,
    );
    const [policy] = setOf(text).policies;
    expect(policy!.text).toContain(`// ${CONDITION}`);
    expect(policy!.text).toContain(`contains("${policy!.gate!.name}")`);
    expect(policy!.text).toContain('resource.name == "gate"');
  });
});

describe('a broken gate is refused with its file and line', () => {
  const ok = '@stepup("Look.") @approvers("requester")';
  test.each<[string, string, RegExp]>([
    ['no approvers', gate('@stepup("Look.")'), /@approvers is missing/],
    ['an unknown approver', gate('@stepup("x") @approvers("requester, bob")'), /"bob", which is nobody/],
    ['an empty approver', gate('@stepup("x") @approvers("")'), /which is nobody/],
    ['nothing to say', gate('@stepup(" ") @approvers("owner")'), /says nothing/],
    ['a quorum of nobody', gate(`${ok} @quorum("0")`), /not a number from 1/],
    ['a quorum in words', gate(`${ok} @quorum("two")`), /not a number from 1/],
    ['a quorum nobody can meet', gate(`${ok} @quorum("2")`), /can never be met/],
    ['a duration in minutes', gate(`${ok} @ttl("5m")`), /not an ISO 8601 duration/],
    ['a duration of nothing', gate(`${ok} @ttl("PT")`), /not an ISO 8601 duration/],
    ['a duration of zero', gate(`${ok} @ttl("PT0S")`), /not an ISO 8601 duration/],
    ['a duration without bounds', gate(`${ok} @ttl("PT9999H")`), /not an ISO 8601 duration/],
    ['too many uses', gate(`${ok} @max_uses("1000000")`), /not a number from 1/],
    ['an unknown tier', gate(`${ok} @tier("high")`), /is no tier.*"standard", "passkey", "critical"/],
    ['a misspelt annotation', gate(`${ok} @quroum("2")`), /@quroum is not an annotation.*@quorum/],
    [
      'a permit',
      gate(ok, `permit (principal, action == Action::"call", resource) ${CONDITION};`),
      /stands on a permit/,
    ],
    ['no condition', gate(ok, `${SCOPE};`), /stands 0 times/],
    ['the condition twice', gate(ok, `${SCOPE} ${CONDITION} ${CONDITION};`), /stands 2 times/],
    ['another name', gate(ok, `${SCOPE} unless { context.approvals.contains("sre") };`), /stands 0 times/],
    ['when, not unless', gate(ok, `${SCOPE} when { context.approvals.contains("gate") };`), /stands 0 times/],
    ['a softer condition', gate(ok, `${SCOPE} unless { context.approvals.contains("gate") || true };`), /0 times/],
    ['a second use', gate(ok, `${SCOPE} ${CONDITION} unless { context.approvals.isEmpty() };`), /outside its own/],
    ['a use through has', gate(ok, `${SCOPE} ${CONDITION} when { context has approvals };`), /outside its own/],
    ['an unusual spelling', gate(ok, `${SCOPE} unless { context["approvals"].contains("gate") };`), /unusual way/],
  ])('%s', (_, text, message) => {
    const [problem] = problemsOf(PERMIT_TASK_TOOLS + text);
    expect(problem).toMatch(message);
    expect(problem).toMatch(/^test\.cedar:7: policy "g": /);
  });

  test('a plain policy may not ask about approvals, nor use context as a whole to reach them', () => {
    const permit = (condition: string) =>
      `@id("p") permit (principal, action == Action::"call", resource) when { ${condition} };`;
    const uses = [
      ['context.approvals.contains("gate")', /no @stepup/],
      ['context.approvals.isEmpty()', /no @stepup/],
      ['(if true then context else context).approvals.isEmpty()', /context as a whole/],
      ['{"a": context}.a.approvals.isEmpty()', /context as a whole/],
    ] as const;
    for (const [condition, message] of uses) expect(problemsOf(permit(condition)).join()).toMatch(message);
  });

  test('annotations of a gate on a policy that is none', () => {
    const text = `@id("p") @quorum("2") forbid (principal, action, resource);`;
    expect(problemsOf(text)).toEqual([expect.stringContaining('@quorum belongs to a gate.')]);
  });

  test('everything that is wrong is said at once', () => {
    expect(problemsOf(gate('@stepup("x") @quorum("0") @tier("high")')).length).toBe(3);
  });
});

test('approval of one gate never lifts another: equal terms under two ids have two names', () => {
  const set = setOf(gateOn('a', 'x', 'group:sre') + gateOn('b', 'x', 'group:sre'));
  expect(new Set(set.gates.keys()).size).toBe(2);
});
