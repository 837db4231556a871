import { z } from 'zod';
import { IDENTIFIER_CHARACTERS_MAX, URL_CHARACTERS_MAX } from './limits.ts';

// RFC 9493 (December 2023), and complex subjects of OpenID SSF 1.0 §3.3.

const text = z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX);
const url = z.string().min(1).max(URL_CHARACTERS_MAX);

/** RFC 9493 §3.2.4. */
const issSub = z.object({ format: z.literal('iss_sub'), iss: url, sub: text });
/** RFC 9493 §3.2.5. */
const opaque = z.object({ format: z.literal('opaque'), id: text });

export type IssSub = z.infer<typeof issSub>;
export type Opaque = z.infer<typeof opaque>;
type SimpleSubject = IssSub | Opaque;

/** SSF 1.0 §3.3: all members together name one principal. */
export interface ComplexSubject {
  readonly format: 'complex';
  readonly user?: SimpleSubject;
  readonly session?: SimpleSubject;
  readonly application?: SimpleSubject;
}

export type Subject = SimpleSubject | ComplexSubject;

/** Whom an event from outside is about, as far as we can tell people apart; the members beside `user` only narrow it. */
export interface NamedUser {
  readonly user: SimpleSubject;
  /** The event is about one session, or device, of theirs; which one is known to the other side alone. */
  readonly isNarrower: boolean;
}

const userSubject = z.union([issSub, opaque]);
const complex = z.object({ format: z.literal('complex'), user: userSubject });

/** The person that a subject names, or undefined for a format that names none to us (a mail address is no identity). */
export function namedUser(subject: unknown): NamedUser | undefined {
  const simple = userSubject.safeParse(subject);
  if (simple.success) return { user: simple.data, isNarrower: false };
  const parsed = complex.safeParse(subject);
  if (!parsed.success) return undefined;
  const members = Object.keys(subject as object).filter((name) => !['format', 'user', 'tenant'].includes(name));
  return { user: parsed.data.user, isNarrower: members.length > 0 };
}

export function issSubOf(iss: string, sub: string): IssSub {
  return { format: 'iss_sub', iss, sub };
}

export function opaqueOf(id: string): Opaque {
  return { format: 'opaque', id };
}
