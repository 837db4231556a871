import { accepted, type Result, refused } from '../kernel/result.ts';
import { POLICY_BRACKET_DEPTH_MAX, POLICY_TOKENS_MAX } from './limits.ts';
import type { PolicyProblem } from './problem.ts';

export interface PolicyFile {
  readonly path: string;
  readonly text: string;
}

interface Token {
  readonly text: string;
  /** Offset in the text of the policy, in UTF-16 code units. */
  readonly start: number;
}

/** One policy as written, from its first annotation to its semicolon. */
export interface PolicySource {
  readonly path: string;
  /** Line of the first character, counted from 1. */
  readonly line: number;
  readonly text: string;
  readonly tokens: readonly Token[];
}

// Cedar's own splitter sorts policies by a generated id and drops where they stood; and its parser breaks on deep
// nesting, so the text is measured here before Cedar sees it.
const TOKEN = /\s+|\/\/[^\n\r]*|"(?:[^"\\]|\\[\s\S])*"|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[\s\S]/gu;

/** Splits a file into policies, keeping their lines. Refuses what Cedar's parser would not survive. */
export function splitPolicies(file: PolicyFile): Result<readonly PolicySource[], PolicyProblem> {
  const policies: PolicySource[] = [];
  let open: { start: number; line: number; tokens: Token[] } | undefined;
  let line = 1;
  let depth = 0;
  for (const match of file.text.matchAll(TOKEN)) {
    const text = match[0];
    if (!/^(?:\s|\/\/)/.test(text)) {
      open ??= { start: match.index, line, tokens: [] };
      open.tokens.push({ text, start: match.index - open.start });
      depth += bracketStep(text);
      if (open.tokens.length > POLICY_TOKENS_MAX) return refused(tooLong(file.path, open.line));
      if (depth > POLICY_BRACKET_DEPTH_MAX) return refused(tooDeep(file.path, line));
      if (text === '"') return refused(openString(file.path, line));
      if (text === ';' && depth <= 0) {
        const end = match.index + text.length;
        policies.push({ ...open, path: file.path, text: file.text.slice(open.start, end) });
        open = undefined;
        depth = 0;
      }
    }
    line += text.split('\n').length - 1;
  }
  return open === undefined ? accepted(policies) : refused(unfinished(file.path, open.line));
}

/** The line in the file of a place in a policy; Cedar counts places in UTF-8 bytes. */
export function lineOfByte(source: PolicySource, byte: number): number {
  const before = Buffer.from(source.text, 'utf8').subarray(0, byte).toString('utf8');
  return source.line + before.split('\n').length - 1;
}

function bracketStep(token: string): number {
  if (token === '(' || token === '[' || token === '{') return 1;
  return token === ')' || token === ']' || token === '}' ? -1 : 0;
}

function tooLong(path: string, line: number): PolicyProblem {
  const message = `This policy is longer than ${POLICY_TOKENS_MAX} words and signs.`;
  return { path, line, message, instead: 'Split it into several policies.' };
}

function tooDeep(path: string, line: number): PolicyProblem {
  const message = `Brackets are nested deeper than ${POLICY_BRACKET_DEPTH_MAX}.`;
  return { path, line, message, instead: 'Split the condition into several policies.' };
}

function openString(path: string, line: number): PolicyProblem {
  return { path, line, message: 'A string begins here and never ends.', instead: 'Close it with a double quote.' };
}

function unfinished(path: string, line: number): PolicyProblem {
  return { path, line, message: 'This policy has no end.', instead: 'Close its brackets and end it with a semicolon.' };
}
