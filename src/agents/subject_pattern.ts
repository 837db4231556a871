import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { WORKLOAD_SUBJECT_CHARACTERS_MAX } from './limits.ts';

const WILDCARD = '*';
/** What separates the segments of a subject: `repo:org/name:ref:…`, `system:serviceaccount:…`, `spiffe://…`. */
const SEPARATOR = /[/:]/;
const PREFIX_SEGMENTS_MIN = 2;
/** All subjects of an issuer that writes URIs begin with one, so it narrows nothing. */
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//;

/**
 * A subject that names one workload, or the workloads of one place: `*` as its last segment stands for one segment, after a
 * prefix of at least two. So nothing that is written here can match everything, nor a name that somebody else chooses.
 */
export function checkSubjectPattern(pattern: string): Result<string, Refusal> {
  const refuse = (words: string) => refused(refusal('request_invalid', words));
  if (pattern === '' || pattern.length > WORKLOAD_SUBJECT_CHARACTERS_MAX || /[\s\p{Cc}]/u.test(pattern)) {
    return refuse(`A subject has 1 to ${WORKLOAD_SUBJECT_CHARACTERS_MAX} characters, none of them white space.`);
  }
  if (!pattern.includes(WILDCARD)) return accepted(pattern);
  const prefix = pattern.slice(0, -1);
  const isLastSegment = pattern.endsWith(WILDCARD) && SEPARATOR.test(prefix.at(-1) ?? '');
  if (!isLastSegment || prefix.includes(WILDCARD)) {
    return refuse(
      'A "*" may be the whole last segment of a subject and nothing else: "repo:acme/shop:environment:*". Name the rest exactly.',
    );
  }
  const segments = prefix
    .replace(SCHEME, '')
    .split(SEPARATOR)
    .filter((segment) => segment !== '');
  if (segments.length < PREFIX_SEGMENTS_MIN) {
    return refuse(
      `"${pattern}" would match almost anything its issuer says. Name at least ${PREFIX_SEGMENTS_MIN} segments before the "*".`,
    );
  }
  return accepted(pattern);
}

/** Whether `pattern`, as `checkSubjectPattern` accepted it, is or covers the subject. */
export function matchesSubject(pattern: string, subject: string): boolean {
  if (!pattern.endsWith(WILDCARD)) return pattern === subject;
  const prefix = pattern.slice(0, -1);
  const last = subject.slice(prefix.length);
  return subject.startsWith(prefix) && last !== '' && !SEPARATOR.test(last);
}
