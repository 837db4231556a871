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

const userSubject = z.union([issSub, opaque]);
const complex = z.object({ format: z.literal('complex'), user: userSubject });

/**
 * The person that a subject names, or undefined for a format that names none to us (a mail address is no identity). What a
 * complex subject says beside `user` only narrows it, to a session or a device that the other side alone knows.
 */
export function namedUser(subject: unknown): IssSub | Opaque | undefined {
  const simple = userSubject.safeParse(subject);
  if (simple.success) return simple.data;
  return complex.safeParse(subject).data?.user;
}

export function issSubOf(iss: string, sub: string): IssSub {
  return { format: 'iss_sub', iss, sub };
}

export function opaqueOf(id: string): Opaque {
  return { format: 'opaque', id };
}
