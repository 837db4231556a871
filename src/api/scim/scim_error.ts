import type { JsonObject } from '../../kernel/json.ts';
import { type Result, refused } from '../../kernel/result.ts';
import { REFUSALS, type Refusal } from '../../wire/refusals.ts';

const ERROR_SCHEMA = 'urn:ietf:params:scim:api:messages:2.0:Error';

/** The detail types of RFC 7644 §3.12 that are answered here. */
type ScimType = 'invalidFilter' | 'invalidPath' | 'invalidSyntax' | 'invalidValue' | 'mutability' | 'uniqueness';

/** A refusal whose kind only SCIM has a word for. */
export interface ScimRefusal extends Refusal {
  readonly scimType?: ScimType;
}

export function invalid(scimType: ScimType, message: string): ScimRefusal {
  return { code: 'request_invalid', message, scimType };
}

/** Of a refusal by what must be unique; other conflicts have no word of their own. */
export function uniquely<Value>(result: Result<Value, Refusal>): Result<Value, ScimRefusal> {
  if (result.ok || result.refusal.code !== 'conflict') return result;
  return refused({ ...result.refusal, scimType: 'uniqueness' });
}

/** RFC 7644 §3.12: the status is text, and is the status of the answer. */
export function scimErrorBody(found: ScimRefusal): { status: number; body: JsonObject } {
  const { status, next } = REFUSALS[found.code];
  const scimType = found.scimType ?? DEFAULT_TYPES[found.code];
  return {
    status,
    body: {
      schemas: [ERROR_SCHEMA],
      status: String(status),
      ...(scimType === undefined ? {} : { scimType }),
      detail: found.scimType === undefined && scimType === undefined ? `${found.message} ${next}` : found.message,
    },
  };
}

const DEFAULT_TYPES: Partial<Record<Refusal['code'], ScimType>> = {
  request_invalid: 'invalidValue',
  json_invalid: 'invalidSyntax',
};
