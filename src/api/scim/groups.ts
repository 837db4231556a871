import { z } from 'zod';
import type { JsonValue } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { changeGroup, createGroup, type DirectoryGroup, deleteGroup } from '../../people/directory/groups.ts';
import { refusal } from '../../wire/refusals.ts';
import { parseFilter } from './filter.ts';
import { findGroupResource, listGroups } from './find_groups.ts';
import { listResponse, pageOf, project, wants } from './listing.ts';
import { memberIdsOf, patchGroup } from './patch_group.ts';
import { changesOf, patchRequestSchema } from './patch_request.ts';
import { type ScimRefusal, uniquely } from './scim_error.ts';
import type { ScimAnswer, ScimRequest } from './scim_http.ts';

const groupSchema = z.object({
  displayName: z.string(),
  externalId: z.string().nullish(),
  members: z.unknown().optional(),
});

type Answered = Promise<Result<ScimAnswer, ScimRefusal>>;

export async function getGroups({ store, query }: ScimRequest): Answered {
  const terms = query.has('filter') ? parseFilter(query.get('filter') ?? '') : accepted([]);
  if (!terms.ok) return terms;
  const page = pageOf(query);
  const found = await listGroups(store, terms.value, page, wants(query, 'members'));
  if (!found.ok) return found;
  const resources = found.value.resources.map((resource) => project(resource, query));
  return accepted({ status: 200, body: listResponse(page, found.value.total, resources) });
}

export async function getGroup(request: ScimRequest): Answered {
  return answerGroup(request, request.id, 200);
}

export async function postGroup(request: ScimRequest): Answered {
  const group = await readGroup(request);
  if (!group.ok) return group;
  const created = uniquely(await createGroup(request.store, { ...group.value, by: request.by }));
  return created.ok ? answerGroup(request, created.value.id, 201) : created;
}

export async function putGroup(request: ScimRequest): Answered {
  const group = await readGroup(request);
  return group.ok ? changeTo(request, () => group) : group;
}

export async function patchGroupById(request: ScimRequest): Answered {
  const body = await request.read(patchRequestSchema);
  const changes = body.ok ? changesOf(body.value) : body;
  if (!changes.ok) return changes;
  return changeTo(request, (now) => patchGroup(now, changes.value));
}

export async function deleteGroupById({ store, id, by }: ScimRequest): Answered {
  const deleted = await deleteGroup(store, { id, by });
  return deleted.ok ? accepted({ status: 204, body: null }) : deleted;
}

async function readGroup(request: ScimRequest): Promise<Result<DirectoryGroup, ScimRefusal>> {
  const body = await request.read(groupSchema);
  if (!body.ok) return body;
  const members = memberIdsOf(body.value.members as JsonValue | undefined);
  if (!members.ok) return members;
  const { displayName, externalId } = body.value;
  return accepted({ displayName, externalId: externalId ?? null, memberIds: members.value });
}

async function changeTo(
  request: ScimRequest,
  change: (now: DirectoryGroup) => Result<DirectoryGroup, ScimRefusal>,
): Answered {
  const { store, id, by } = request;
  const changed = uniquely(await changeGroup(store, { id, by }, change));
  return changed.ok ? answerGroup(request, id, 200) : changed;
}

async function answerGroup({ store, query }: ScimRequest, id: string, status: number): Answered {
  const resource = await findGroupResource(store, id, wants(query, 'members'));
  if (resource === undefined) return refused(refusal('not_found', 'There is no such group.'));
  const location = `${store.issuer}/scim/v2/Groups/${id}`;
  return accepted({ status, body: project(resource, query), ...(status === 201 ? { location } : {}) });
}
