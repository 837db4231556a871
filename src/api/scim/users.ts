import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { DirectoryUser } from '../../people/directory/directory_user.ts';
import { changeUser, createUser, findUser } from '../../people/directory/users.ts';
import { disablePerson } from '../../tasks/revoke/disable_person.ts';
import { enablePerson } from '../../tasks/revoke/enable_person.ts';
import { refusal } from '../../wire/refusals.ts';
import { parseFilter } from './filter.ts';
import { findUserRow, listUsers } from './find_users.ts';
import { listResponse, pageOf, project } from './listing.ts';
import { changesOf, patchRequestSchema } from './patch_request.ts';
import { patchUser } from './patch_user.ts';
import { type ScimRefusal, uniquely } from './scim_error.ts';
import type { ScimAnswer, ScimRequest } from './scim_http.ts';
import { parseUser, userResource, userSchema } from './user_resource.ts';

const NO_USER = refusal('not_found', 'There is no such user.');
type Answered = Promise<Result<ScimAnswer, ScimRefusal>>;

export async function getUsers({ store, query }: ScimRequest): Answered {
  const terms = query.has('filter') ? parseFilter(query.get('filter') ?? '') : accepted([]);
  if (!terms.ok) return terms;
  const page = pageOf(query);
  const found = await listUsers(store, terms.value, page);
  if (!found.ok) return found;
  const resources = found.value.rows.map((row) => project(userResource(store.issuer, row), query));
  return accepted({ status: 200, body: listResponse(page, found.value.total, resources) });
}

export async function getUser(request: ScimRequest): Answered {
  return answerUser(request, request.id, 200);
}

export async function postUser(request: ScimRequest): Answered {
  const { store, by } = request;
  const body = await request.read(userSchema);
  const user = body.ok ? parseUser(body.value, true) : body;
  if (!user.ok) return user;
  const created = uniquely(await createUser(store, { user: user.value, by }));
  if (!created.ok) return created;
  const settled = await setActive(request, created.value.id, user.value.isActive);
  return settled.ok ? answerUser(request, created.value.id, 201) : settled;
}

/** RFC 7644 §3.5.1: what is left out is taken away, except what a user must have. */
export async function putUser(request: ScimRequest): Answered {
  const body = await request.read(userSchema);
  if (!body.ok) return body;
  return changeTo(request, (now) => parseUser(body.value, now.isActive));
}

export async function patchUserById(request: ScimRequest): Answered {
  const body = await request.read(patchRequestSchema);
  const changes = body.ok ? changesOf(body.value) : body;
  if (!changes.ok) return changes;
  return changeTo(request, (now) => patchUser(now, changes.value));
}

/** The row stays, since decisions name it; to the directory the user is gone. */
export async function deleteUser({ store, id, by }: ScimRequest): Answered {
  if ((await findUser(store.db, id)) === undefined) return refused(NO_USER);
  const reason = 'deleted by the directory';
  const deleted = await disablePerson(store, { personId: id, by, reason, isDeleted: true });
  return deleted.ok ? accepted({ status: 204, body: null }) : deleted;
}

/**
 * Who is to be inactive is disabled first: should anything else be refused, they are. Only a request that finds somebody
 * inactive makes them active: another may disable them while this one changes their name.
 */
async function changeTo(
  request: ScimRequest,
  change: (now: DirectoryUser) => Result<DirectoryUser, ScimRefusal>,
): Answered {
  const { store, id, by } = request;
  const now = await findUser(store.db, id);
  if (now === undefined) return refused(NO_USER);
  const wanted = change(now);
  if (!wanted.ok) return wanted;
  if (!wanted.value.isActive) {
    const disabled = await setActive(request, id, false);
    if (!disabled.ok) return disabled;
  }
  const changed = uniquely(await changeUser(store, { id, by }, change));
  if (!changed.ok) return changed;
  const comesBack = wanted.value.isActive && !now.isActive;
  const settled = comesBack ? await setActive(request, id, true) : accepted(true);
  return settled.ok ? answerUser(request, id, 200) : settled;
}

async function setActive(
  { store, by }: ScimRequest,
  personId: string,
  isActive: boolean,
): Promise<Result<unknown, ScimRefusal>> {
  const now = await findUser(store.db, personId);
  if (now === undefined) return refused(NO_USER);
  if (now.isActive === isActive) return accepted(true);
  const reason = isActive ? 'enabled by the directory' : 'disabled by the directory';
  return isActive ? enablePerson(store, { personId, by, reason }) : disablePerson(store, { personId, by, reason });
}

async function answerUser({ store, query }: ScimRequest, id: string, status: number): Answered {
  const row = await findUserRow(store, id);
  if (row === undefined) return refused(NO_USER);
  const resource = userResource(store.issuer, row);
  const location = `${store.issuer}/scim/v2/Users/${id}`;
  return accepted({ status, body: project(resource, query), ...(status === 201 ? { location } : {}) });
}
