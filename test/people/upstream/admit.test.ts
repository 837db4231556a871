import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config.ts';
import { admit, leavesGroupsOut } from '../../../src/people/upstream/admit.ts';
import { type UpstreamSettings, upstreamSchema } from '../../../src/people/upstream/settings_schema.ts';

const CLAIMS = { iss: 'https://idp.example', sub: 'ada', name: 'Ada' };

function rules(changes: Partial<UpstreamSettings> = {}): UpstreamSettings {
  const fixed = { id: 'corp', name: 'Corp', issuer: CLAIMS.iss, client_id: 'c', client_secret_file: 'f' };
  return upstreamSchema.parse({ ...fixed, ...changes });
}

function admitted(claims: object, changes: Partial<UpstreamSettings> = {}) {
  const found = admit(rules(changes), { ...CLAIMS, ...claims });
  if (!found.ok) throw new Error(found.refusal.message);
  return found.value;
}

describe('what the claims of a token come to', () => {
  test('nothing that is not said, and nothing that cannot be kept', () => {
    expect(admitted({ auth_time: 1e300, amr: 'pwd', oid: '', groups: 'x' })).toEqual({
      issuer: CLAIMS.iss,
      subject: 'ada',
      displayName: 'Ada',
      groups: null,
      isAdministrator: null,
      directoryId: null,
      mayBeNew: false,
      amr: ['upstream', 'upstream:pwd'],
      authTime: null,
    });
    expect(admitted({ amr: ['user', 'A B', 7, 'x'.repeat(40)] }).amr).toEqual(['upstream', 'upstream:user']);
    expect(admitted({ name: 'a\u202eb', preferred_username: 'ada' }).displayName).toBe('ada');
    expect(admitted({ name: ' ', preferred_username: 7 }).displayName).toBeNull();
    expect(admit(rules(), { ...CLAIMS, sub: 'x'.repeat(256) }).ok).toBe(false);
  });

  test('groups: none of what is no text; names by the map, and not by what objects are born with', () => {
    const read = { groups_claim: 'groups' };
    expect(admitted({ groups: ['a', 7, null, 'a', ['b']] }, read).groups).toEqual(['a']);
    expect(admitted({ groups: { a: 1 } }, read).groups).toEqual([]);
    expect(admitted({}, read).groups).toEqual([]);
    const groups = ['g-1', 'toString', '__proto__'];
    expect(admitted({ groups }, { ...read, groups_map: { 'g-1': 'payments' } }).groups).toEqual(['payments']);
  });

  test('an id of the directory only where the configuration names its claim', () => {
    expect(admitted({ oid: '1' }).directoryId).toBeNull();
    expect(admitted({ oid: '1' }, { directory_claim: 'oid' }).directoryId).toBe('1');
    for (const oid of [1, '', 'x'.repeat(300), 'a\nb']) {
      expect(admitted({ oid }, { directory_claim: 'oid' }).directoryId).toBeNull();
    }
  });

  test('nobody new, where groups decide and there are none', () => {
    const inGroup = { groups: ['staff'] };
    expect(admitted(inGroup, { groups_claim: 'groups' }).mayBeNew).toBe(false);
    expect(admitted(inGroup, { groups_claim: 'groups', allowed_groups: ['staff'] }).mayBeNew).toBe(true);
    expect(admitted({}, { new_people: 'anyone' }).mayBeNew).toBe(true);
  });

  test('groups that the provider left out are noticed', () => {
    const read = rules({ groups_claim: 'groups' });
    expect(leavesGroupsOut(read, { _claim_names: { groups: 'src1' } })).toBe(true);
    expect(leavesGroupsOut(read, { hasgroups: true })).toBe(true);
    expect(leavesGroupsOut(read, { groups: [] })).toBe(false);
  });
});

describe('a provider in the configuration', () => {
  const problems = (members: string) => {
    const known = 'id: corp, name: Corp, issuer: "https://idp.example", client_id: c';
    const text = `issuer: https://approve.example\nsign_in: { providers: [{ ${known}, ${members} }] }\n`;
    const parsed = parseConfig({ text });
    return parsed.ok ? '' : parsed.refusal.map(({ place, message }) => `${place}: ${message}`).join('\n');
  };

  test.each([
    ['no credential', 'name: x', 'client_secret_file or private_key_file'],
    ['two', 'client_secret_file: a, private_key_file: b', 'client_secret_file or private_key_file'],
    ['people recognised by their mail address', 'client_secret_file: a, directory_claim: email', 'never changes'],
    ['groups without their claim', 'client_secret_file: a, allowed_groups: [x]', 'need groups_claim'],
    ['no openid', 'client_secret_file: a, scopes: [profile]', 'must include openid'],
    ['an unknown key', 'client_secret_file: a, group_claim: x', 'The nearest is "sign_in.providers.groups_claim"'],
  ])('is refused with %s', (_, members, words) => {
    const found = problems(members.replace('name: x', 'scopes: [openid]'));
    expect(found).toContain(words);
  });

  test('is refused where it names a discovery document, or an id twice', () => {
    expect(() => rules({ issuer: 'https://idp.example/.well-known/openid-configuration' })).toThrow(
      'the issuer itself',
    );
    const one = '{ id: a, name: A, issuer: "https://a.example", client_id: c, client_secret_file: f }';
    const parsed = parseConfig({ text: `issuer: https://x.example\nsign_in: { providers: [${one}, ${one}] }\n` });
    expect(JSON.stringify(parsed)).toContain('two providers have the same id');
  });
});
