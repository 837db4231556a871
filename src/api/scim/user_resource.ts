import { z } from 'zod';
import type { JsonObject, JsonValue } from '../../kernel/json.ts';
import { accepted, type Result } from '../../kernel/result.ts';
import type { DirectoryUser } from '../../people/directory/directory_user.ts';
import { booleanOf, displayNameOf, emailOf } from './attribute_values.ts';
import type { ScimRefusal } from './scim_error.ts';

export const USER_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:User';

/** What is read of a user; other attributes, a password among them, are dropped unread (RFC 7644 §3.3). */
export const userSchema = z.object({
  userName: z.string(),
  displayName: z.unknown().optional(),
  name: z.unknown().optional(),
  emails: z.unknown().optional(),
  externalId: z.string().nullish(),
  active: z.unknown().optional(),
});

/** Who is not said to be active is what they were: nobody comes back because a client left it out. */
export function parseUser(body: z.infer<typeof userSchema>, wasActive: boolean): Result<DirectoryUser, ScimRefusal> {
  const email = emailOf(body.emails as JsonValue | undefined);
  if (!email.ok) return email;
  const isActive = body.active === undefined ? accepted(wasActive) : booleanOf('active', body.active as JsonValue);
  if (!isActive.ok) return isActive;
  const displayName = displayNameOf(body.displayName as JsonValue | undefined, body.name as JsonValue | undefined);
  return accepted({
    userName: body.userName,
    displayName: displayName ?? body.userName,
    email: email.value,
    externalId: body.externalId ?? null,
    isActive: isActive.value,
  });
}

export interface UserRow {
  readonly id: string;
  readonly user_name: string | null;
  readonly display_name: string;
  readonly email: string | null;
  readonly external_id: string | null;
  readonly state: 'active' | 'disabled';
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly groups: readonly { readonly id: string; readonly name: string }[];
}

export function userResource(issuer: string, row: UserRow): JsonObject {
  const base = `${issuer}/scim/v2`;
  return {
    schemas: [USER_SCHEMA],
    id: row.id,
    ...(row.external_id === null ? {} : { externalId: row.external_id }),
    userName: row.user_name ?? '',
    displayName: row.display_name,
    name: { formatted: row.display_name },
    ...(row.email === null ? {} : { emails: [{ value: row.email, type: 'work', primary: true }] }),
    active: row.state === 'active',
    groups: row.groups.map((group) => ({
      value: group.id,
      display: group.name,
      $ref: `${base}/Groups/${group.id}`,
    })),
    meta: {
      resourceType: 'User',
      created: row.created_at.toISOString(),
      lastModified: row.updated_at.toISOString(),
      location: `${base}/Users/${row.id}`,
    },
  };
}
