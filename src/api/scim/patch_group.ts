import type { JsonValue } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { DirectoryGroup } from '../../people/directory/groups.ts';
import { textOf } from './attribute_values.ts';
import type { Change } from './patch_request.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';

/** The group after these changes, in their order. */
export function patchGroup(group: DirectoryGroup, changes: readonly Change[]): Result<DirectoryGroup, ScimRefusal> {
  let now = group;
  for (const change of changes) {
    const patched = patchOne(now, change);
    if (!patched.ok) return patched;
    now = patched.value;
  }
  return accepted(now);
}

function patchOne(group: DirectoryGroup, change: Change): Result<DirectoryGroup, ScimRefusal> {
  const { op, path, value } = change;
  switch (path.attribute) {
    case 'displayname': {
      if (op === 'remove') return refused(invalid('mutability', 'displayName is required and cannot be removed.'));
      const displayName = textOf('displayName', value);
      return displayName.ok ? accepted({ ...group, displayName: displayName.value }) : displayName;
    }
    case 'externalid': {
      if (op === 'remove' || value === null) return accepted({ ...group, externalId: null });
      const externalId = textOf('externalId', value);
      return externalId.ok ? accepted({ ...group, externalId: externalId.value }) : externalId;
    }
    case 'members':
      return patchMembers(group, change);
    default:
      return accepted(group);
  }
}

function patchMembers(group: DirectoryGroup, { op, path, value }: Change): Result<DirectoryGroup, ScimRefusal> {
  const { filter, sub } = path;
  if ((filter !== null && (filter.attribute !== 'value' || op !== 'remove')) || sub !== null) {
    return refused(
      invalid('invalidPath', 'Members are named as "members", or to remove one as members[value eq "…"].'),
    );
  }
  if (filter !== null) return accepted(without(group, [filter.value]));
  // RFC 7644 §3.5.2.2: all of them, unless the value names some, as Microsoft Entra ID does.
  if (op === 'remove' && (value === undefined || value === null)) return accepted({ ...group, memberIds: [] });
  const ids = memberIdsOf(value);
  if (!ids.ok) return ids;
  if (op === 'remove') return accepted(without(group, ids.value));
  return accepted({ ...group, memberIds: op === 'replace' ? ids.value : [...group.memberIds, ...ids.value] });
}

export function memberIdsOf(value: JsonValue | undefined): Result<string[], ScimRefusal> {
  if (value === undefined || value === null) return accepted([]);
  const ids = (Array.isArray(value) ? value : [value]).map((member) =>
    typeof member === 'object' && member !== null && !Array.isArray(member) ? member.value : member,
  );
  return ids.every((id) => typeof id === 'string')
    ? accepted(ids)
    : refused(invalid('invalidValue', 'Members are a list of {"value": "<id of a user>"}.'));
}

function without(group: DirectoryGroup, ids: readonly string[]): DirectoryGroup {
  const gone = new Set(ids);
  return { ...group, memberIds: group.memberIds.filter((id) => !gone.has(id)) };
}
