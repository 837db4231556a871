import { accepted, type Result, refused } from '../../kernel/result.ts';
import { attributeName, type FilterTerm, parseFilter } from './filter.ts';
import { invalid, type ScimRefusal } from './scim_error.ts';

/** `emails[type eq "work"].value` of RFC 7644 §3.5.2; names in lower case, without their schema. */
export interface PatchPath {
  readonly attribute: string;
  readonly filter: FilterTerm | null;
  readonly sub: string | null;
}

const PATH = /^((?:urn:[A-Za-z0-9:._-]+:)?[A-Za-z$][A-Za-z0-9_$-]*)(?:\[([^\]]*)\])?(?:\.([A-Za-z$][A-Za-z0-9_$-]*))?$/;

export function parsePatchPath(text: string): Result<PatchPath, ScimRefusal> {
  const match = PATH.exec(text.trim());
  if (match === null) return refused(invalid('invalidPath', `The path "${text.slice(0, 100)}" cannot be read.`));
  const filter = match[2] === undefined ? accepted([]) : parseFilter(match[2]);
  if (!filter.ok || filter.value.length > 1) {
    return refused(invalid('invalidPath', `The filter in the path "${text.slice(0, 100)}" cannot be read.`));
  }
  return accepted({
    attribute: attributeName(match[1]!),
    filter: filter.value[0] ?? null,
    sub: match[3]?.toLowerCase() ?? null,
  });
}
