import type { JsonObject } from '../../kernel/json.ts';
import { SCIM_PAGE_DEFAULT, SCIM_PAGE_MAX } from '../limits.ts';
import { attributeName } from './filter.ts';

export interface PageOf {
  /** From 1 on. */
  readonly startIndex: number;
  readonly count: number;
}

/** RFC 7644 §3.4.2.4: what is out of range is brought into it, never refused. */
export function pageOf(query: URLSearchParams): PageOf {
  return {
    startIndex: Math.max(1, numberOf(query.get('startIndex'), 1)),
    count: Math.min(SCIM_PAGE_MAX, Math.max(0, numberOf(query.get('count'), SCIM_PAGE_DEFAULT))),
  };
}

export function listResponse(page: PageOf, total: number, resources: readonly JsonObject[]): JsonObject {
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
    totalResults: total,
    startIndex: page.startIndex,
    itemsPerPage: resources.length,
    Resources: resources,
  };
}

/** Whether the client wants this attribute, which may be long, at all (RFC 7644 §3.4.2.5). */
export function wants(query: URLSearchParams, attribute: string): boolean {
  const [asked, excluded] = [namesIn(query.get('attributes')), namesIn(query.get('excludedAttributes'))];
  return (asked === null || asked.has(attribute)) && !excluded?.has(attribute);
}

/** The attributes that the client asked for; `id` and `schemas` are always among them. */
export function project(resource: JsonObject, query: URLSearchParams): JsonObject {
  const always = ['id', 'schemas'];
  return Object.fromEntries(
    Object.entries(resource).filter(([name]) => always.includes(name) || wants(query, name.toLowerCase())),
  );
}

/** Of `emails.value` the whole of `emails` is sent. */
function namesIn(list: string | null): ReadonlySet<string> | null {
  if (list === null || list.trim() === '') return null;
  return new Set(list.split(',').map((name) => attributeName(name.trim()).split('.')[0]!));
}

function numberOf(text: string | null, otherwise: number): number {
  return text !== null && /^-?\d{1,9}$/.test(text) ? Number(text) : otherwise;
}
