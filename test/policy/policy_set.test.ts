import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compilePolicy } from '../../src/policy/compile.ts';
import { loadPolicySet } from '../../src/policy/policy_set.ts';
import { formatPolicyProblem } from '../../src/policy/problem.ts';
import { readPolicyFolder } from '../../src/policy/read_folder.ts';
import { BILLING, compiled, PERMIT_TASK_TOOLS, problemsOf, setOf } from './scenario.ts';

const ALL = 'permit (principal, action, resource)';

describe('a broken set is refused with file and line', () => {
  test.each<[string, string, RegExp]>([
    ['no id', `\n\n${ALL};`, /^test\.cedar:3: This policy has no @id/],
    ['an id that is no name', `@id("a b") ${ALL};`, /no usable name/],
    [
      'an id twice',
      `@id("a") ${ALL};\n@id("a")\n${ALL};`,
      /^test\.cedar:2: policy "a": The same @id stands at test\.cedar:1/,
    ],
    [
      'a syntax error',
      `@id("a") ${ALL};\n// ü\n@id("b")\npermit (principal, actoin, resource);`,
      /^test\.cedar:4: .*actoin/,
    ],
    ['an annotation twice', `@id("a") @id("b") ${ALL};`, /duplicate annotation/],
    ['a template', '@id("a") permit (principal == ?principal, action, resource);', /template/],
    ['no semicolon', `@id("a") ${ALL};\n\n@id("b") ${ALL}`, /^test\.cedar:3: This policy has no end/],
    ['an open string', `@id("a) ${ALL};`, /^test\.cedar:1: A string begins here and never ends/],
    ['a tool of no server', `@id("a") ${ALL} when { resource == Tool::"write_file" };`, /does not say of which server/],
    ['a tool of no server in its scope', '@id("a") forbid (principal, action, resource == Tool::"x");', /which server/],
  ])('%s', (_, text, message) => expect(problemsOf(text)[0]).toMatch(message));

  test('nothing at all', () => {
    const none = loadPolicySet([]);
    expect(none.ok ? [] : none.refusal).toEqual([
      expect.objectContaining({ message: expect.stringContaining('no policy file') }),
    ]);
  });

  test('what does not fit the tools of a server: a line of the author, and of which attribute', () => {
    const text = `${PERMIT_TASK_TOOLS}
@id("typo")
forbid (principal, action == Action::"call", resource)
when {
  context.input has amount &&
  context.input.amuont.greaterThan(decimal("1.0"))
};`;
    const policy = compilePolicy(setOf(text), BILLING);
    const problems = policy.ok ? [] : policy.refusal.map(formatPolicyProblem);
    expect(problems).toEqual([expect.stringMatching(/^test\.cedar:10: policy "typo": .*amuont/)]);
  });

  test('what validates and still fails on every call is found by the trial, with its line', () => {
    const text = `${PERMIT_TASK_TOOLS}
@id("overflow") forbid (principal, action == Action::"call", resource)
when { context.input has order && context.input.order + 9223372036854775807 > 0 };`;
    const policy = compilePolicy(setOf(text), BILLING);
    const problems = policy.ok ? [] : policy.refusal.map(formatPolicyProblem);
    expect(problems).toEqual([expect.stringMatching(/^test\.cedar:6: policy "overflow": A trial call .*overflow/)]);
  });

  test('an argument that is used without asking whether it is there', () => {
    const unsafe = `@id("u") forbid (principal, action == Action::"call", resource) when { context.input.order > 5 };`;
    expect(compilePolicy(setOf(unsafe), BILLING).ok).toBe(false);
  });
});

describe('what would break the engine', () => {
  const chain = (terms: number) =>
    `@id("chain") ${ALL} when { ${Array.from({ length: terms }, (_, n) => `principal == Agent::"${n}"`).join(' || ')} };`;

  test('a chain of 360 terms is refused before Cedar evaluates it, and says what to write', () => {
    expect(problemsOf(chain(360))).toEqual([expect.stringMatching(/:1: policy "chain": .*\["a", "b"\]\.contains/)]);
  });

  test('a chain that Cedar does not even read is a problem of that policy', () => {
    expect(problemsOf(chain(600))[0]).toMatch(/^test\.cedar:1: /);
  });

  test('nested parentheses', () => {
    const deep = `@id("deep") ${ALL} when { ${'('.repeat(200)}true${')'.repeat(200)} };`;
    expect(problemsOf(deep)).toEqual([expect.stringContaining('Brackets are nested deeper than 32')]);
  });

  test('too much text', () => {
    expect(problemsOf(`// ${'x'.repeat(300_000)}`)).toEqual([expect.stringContaining('Keep to 262144')]);
    expect(problemsOf(`@id("a") ${ALL} when { [${'1,'.repeat(4000)}1].contains(1) };`)[0]).toContain(
      'longer than 4000',
    );
  });

  test('the longest chain that is let through also survives evaluation', () => {
    const calls = Array.from({ length: 90 }, (_, n) => `principal == Agent::"${n}"`).join(' || ');
    compiled(`@id("chain") permit (principal, action == Action::"call", resource) when { ${calls} };`);
  });
});

test('the version is of the policies, not of comments, layout or files', () => {
  const a = '@id("a") permit (principal, action, resource);';
  const b = '@id("b") forbid (principal, action, resource) when { false };';
  const version = (...texts: string[]) => {
    const set = loadPolicySet(texts.map((text, index) => ({ path: `${index}.cedar`, text })));
    return set.ok ? set.value.version : undefined;
  };
  expect(version(`${b} // note`, a.replaceAll(' ', '\n'))).toBe(version(a + b));
  expect(version(a, b.replace('false', 'true'))).not.toBe(version(a + b));
});

describe('policies about one server', () => {
  const other = `@id("files") @reason("x") forbid (principal, action == Action::"call", resource in ToolServer::"files")
    when { context.input has path && context.input.path like "*.env" };`;

  test('are not checked against another, whose arguments they do not know', () => {
    expect(compiled(PERMIT_TASK_TOOLS + other).sets.full).not.toHaveProperty('files');
  });

  test('a tool the server does not list draws a warning, since it would protect nothing', () => {
    const typo = '@id("t") forbid (principal, action == Action::"call", resource == Tool::"billing/refund-create");';
    expect(compiled(PERMIT_TASK_TOOLS + typo).warnings.map(formatPolicyProblem)).toEqual([
      expect.stringMatching(/^test\.cedar:5: policy "t": Tool::"billing\/refund-create" is not a tool/),
    ]);
  });
});

test('a folder is read in order of name, other files left alone; one that is not there is a problem', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'policies-'));
  for (const name of ['b.cedar', 'a.cedar', 'README.md']) await writeFile(join(folder, name), name);
  const files = await readPolicyFolder(folder);
  expect(files.ok && files.value.map(({ text }) => text)).toEqual(['a.cedar', 'b.cedar']);
  await rm(folder, { recursive: true });
  const gone = await readPolicyFolder(folder);
  expect(gone.ok ? [] : gone.refusal.map(formatPolicyProblem)).toEqual([expect.stringContaining('cannot be read')]);
});
