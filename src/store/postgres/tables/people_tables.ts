import type { Generated } from 'kysely';
import type { Json, Stamped } from './columns.ts';

export interface PeopleTable {
  id: string;
  display_name: string;
  state: 'active' | 'disabled';
  is_administrator: boolean;
  /** WebAuthn user handle (64 random bytes): never a name or a mail address. */
  user_handle: Buffer;
  /** As their directory names them: unique among people who are not deleted, whatever the case of its letters. */
  user_name: Generated<string | null>;
  email: Generated<string | null>;
  external_id: Generated<string | null>;
  source: Generated<'local' | 'oidc' | 'scim'>;
  created_at: Stamped;
  updated_at: Stamped;
  /** Deleted by their directory; the row stays, since decisions name it. */
  deleted_at: Generated<Date | null>;
}

/** A subject of an upstream issuer, and the one person it is. */
export interface IdentitiesTable {
  issuer: string;
  subject: string;
  person_id: string;
  created_at: Stamped;
  last_used_at: Generated<Date | null>;
}

/** A credential for machines that administer; what it may do is its scopes. It never approves anything. */
export interface ApiTokensTable {
  id: string;
  token_hash: string;
  name: string;
  scopes: Json<readonly string[]>;
  created_by: string | null;
  created_at: Stamped;
  expires_at: Date;
  revoked_at: Generated<Date | null>;
  last_used_at: Generated<Date | null>;
}

export interface GroupsTable {
  id: string;
  display_name: string;
  external_id: string | null;
  source: 'local' | 'oidc' | 'scim';
  created_at: Stamped;
  updated_at: Stamped;
  deleted_at: Generated<Date | null>;
}

export interface GroupMembersTable {
  group_id: string;
  person_id: string;
  created_at: Stamped;
}

export interface PasskeysTable {
  credential_id: string;
  person_id: string;
  public_key: Buffer;
  counter: number;
  transports: Json<readonly string[]>;
  device_type: string;
  backed_up: boolean;
  name: string;
  created_at: Stamped;
  last_used_at: Date | null;
}

export interface LinksTable {
  token_hash: string;
  kind: 'set_up' | 'invitation' | 'sign_in';
  /** Who signs in by a `sign_in` link; null for a person who does not exist yet. */
  person_id: string | null;
  is_administrator: boolean;
  created_by: string | null;
  created_at: Stamped;
  expires_at: Date;
  used_at: Date | null;
  /** Who was signed in, and by which showing of its page: that page may send its form again. */
  used_by: Generated<string | null>;
  used_attempt_hash: Generated<string | null>;
}

export interface SessionsTable {
  id_hash: string;
  person_id: string;
  amr: Json<readonly string[]>;
  created_at: Stamped;
  authenticated_at: Stamped;
  expires_at: Date;
  revoked_at: Date | null;
}
