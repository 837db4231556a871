import type { JsonValue } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { DirectoryUser } from '../../people/directory/directory_user.ts';
import { booleanOf, displayNameOf, emailOf, textOf } from './attribute_values.ts';
import type { Change } from './patch_request.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';

/** The user after these changes, in their order. Attributes that are not kept are passed over. */
export function patchUser(user: DirectoryUser, changes: readonly Change[]): Result<DirectoryUser, ScimRefusal> {
  let now = user;
  for (const change of changes) {
    const patched = patchOne(now, change);
    if (!patched.ok) return patched;
    now = patched.value;
  }
  return accepted(now);
}

function patchOne(user: DirectoryUser, { op, path, value }: Change): Result<DirectoryUser, ScimRefusal> {
  const isRemoval = op === 'remove';
  switch (path.attribute) {
    case 'username': {
      if (isRemoval) return refused(invalid('mutability', 'userName is required and cannot be removed.'));
      const userName = textOf('userName', value);
      return userName.ok ? accepted({ ...user, userName: userName.value }) : userName;
    }
    case 'active': {
      if (isRemoval) return refused(invalid('mutability', 'active cannot be removed; set it to false.'));
      const isActive = booleanOf('active', value);
      return isActive.ok ? accepted({ ...user, isActive: isActive.value }) : isActive;
    }
    case 'externalid': {
      if (isRemoval || value === null) return accepted({ ...user, externalId: null });
      const externalId = textOf('externalId', value);
      return externalId.ok ? accepted({ ...user, externalId: externalId.value }) : externalId;
    }
    case 'displayname': {
      if (isRemoval || value === null) return accepted({ ...user, displayName: user.userName });
      const displayName = textOf('displayName', value);
      return displayName.ok ? accepted({ ...user, displayName: displayName.value }) : displayName;
    }
    case 'name':
      return accepted(patchName(user, path.sub, isRemoval ? undefined : value));
    case 'emails':
      return patchEmail(user, { op, path, value });
    default:
      return accepted(user);
  }
}

/** Only a whole name is kept: its parts alone say too little. */
function patchName(user: DirectoryUser, sub: string | null, value: JsonValue | undefined): DirectoryUser {
  if (sub !== null && sub !== 'formatted') return user;
  const displayName = sub === null ? displayNameOf(undefined, value) : displayNameOf(value, undefined);
  return displayName === null ? user : { ...user, displayName };
}

function patchEmail(user: DirectoryUser, { op, path, value }: Change): Result<DirectoryUser, ScimRefusal> {
  const { filter, sub } = path;
  // One address is kept, that for work: what is said of others is passed over.
  const isOurs =
    filter === null ||
    (filter.attribute === 'type' && filter.value.toLowerCase() === 'work') ||
    (filter.attribute === 'primary' && filter.value === 'true') ||
    (filter.attribute === 'value' && filter.value === user.email);
  if (!isOurs || (sub !== null && sub !== 'value')) return accepted(user);
  if (op === 'remove') return accepted({ ...user, email: null });
  const email = emailOf(value);
  return email.ok ? accepted({ ...user, email: email.value }) : email;
}
