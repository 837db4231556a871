import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  type Action,
  actionDigest,
  type Binding,
  bindingDigest,
  canonicalAction,
  deploymentId,
} from '../../src/wire/action_digest.ts';

const action: Action = {
  issuer: 'https://auth.example',
  resource: 'https://files.example/mcp',
  deployment: deploymentId({ kind: 'http', url: 'https://upstream.example/mcp' }),
  method: 'tools/call',
  name: 'write_file',
  manifest_digest: 'm',
  arguments: { path: '/a', content: 'x' },
  input_responses: null,
  facts: {},
};

const binding: Binding = { action_digest: 'd', requester: 'prs_a', delegation: 'dlg_a', agent: 'agt_a', task: 'tsk_a' };

const hash = (text: string) => createHash('sha256').update(text).digest('base64url');

test('the action digest is SHA-256 over label, zero byte and canonical JSON', () => {
  expect(canonicalAction(action)).toBe(
    '{"arguments":{"content":"x","path":"/a"},' +
      '"deployment":"{\\"kind\\":\\"http\\",\\"url\\":\\"https://upstream.example/mcp\\"}",' +
      '"facts":{},"input_responses":null,"issuer":"https://auth.example","manifest_digest":"m",' +
      '"method":"tools/call","name":"write_file","resource":"https://files.example/mcp"}',
  );
  expect(actionDigest(action)).toBe(hash(`countersign-action/1\0${canonicalAction(action)}`));
  expect(actionDigest(action)).toMatch(/^[A-Za-z0-9_-]{43}$/);
});

test('the binding digest is SHA-256 over label, zero byte and canonical JSON', () => {
  expect(bindingDigest(binding)).toBe(
    hash(
      'countersign-binding/1\0' +
        '{"action_digest":"d","agent":"agt_a","delegation":"dlg_a","requester":"prs_a","task":"tsk_a"}',
    ),
  );
});

describe('every member counts', () => {
  test.each([
    ['issuer', 'https://other.example'],
    ['resource', 'https://files.example/other'],
    ['deployment', 'other'],
    ['method', 'resources/read'],
    ['name', 'write_File'],
    ['manifest_digest', 'n'],
    ['arguments', { path: '/a', content: 'x ' }],
    ['input_responses', {}],
    ['facts', { head: 'abc' }],
  ])('%s of an action', (member, other) => {
    expect(actionDigest({ ...action, [member]: other } as Action)).not.toBe(actionDigest(action));
  });

  test.each(Object.keys(binding))('%s of a binding', (member) => {
    expect(bindingDigest({ ...binding, [member]: 'other' })).not.toBe(bindingDigest(binding));
  });
});

test('what differs only in spelling gives one digest, what looks alike does not', () => {
  expect(actionDigest({ ...action, arguments: { content: 'x', path: '/a' } })).toBe(actionDigest(action));
  const withName = (name: string) => actionDigest({ ...action, arguments: { name } });
  expect(withName('\u00e9')).not.toBe(withName('e\u0301'));
});

test('members that are not part of an action do not enter its digest', () => {
  expect(actionDigest({ ...action, extra: 1 } as Action)).toBe(actionDigest(action));
});

test('a deployment is named by what was registered, with names of variables only', () => {
  expect(deploymentId({ kind: 'stdio', command: 'npx', args: ['-y', 'x'], env_names: ['B', 'A', 'B'] })).toBe(
    '{"args":["-y","x"],"command":"npx","env_names":["A","B"],"kind":"stdio"}',
  );
  expect(deploymentId({ kind: 'http', url: 'HTTPS://Upstream.example:443/mcp' })).toBe(
    '{"kind":"http","url":"https://upstream.example/mcp"}',
  );
  expect(deploymentId({ kind: 'in_process', name: 'notes', version: '1.0.0' })).toBe(
    '{"kind":"in_process","name":"notes","version":"1.0.0"}',
  );
});
