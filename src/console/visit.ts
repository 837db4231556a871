import type { SafeFetch } from '../kernel/safe_fetch.ts';
import type { SignedIn } from '../model/person.ts';
import { csrfToken } from '../people/csrf.ts';
import type { Store } from '../store/store.ts';
import type { Frame } from './frame.ts';

/** The WebAuthn relying party: the host and origin people open the console at, and the name authenticators show. */
export interface RelyingParty {
  readonly id: string;
  readonly origin: string;
  readonly name: string;
}

/** What the console works with; `server.ts` builds it once. */
export interface ConsoleParts {
  readonly store: Store;
  readonly issuer: string;
  readonly rp: RelyingParty;
  /** Fetches the metadata of a tool server that asks to be accepted. */
  readonly fetch: SafeFetch;
}

/** One request, as the handlers see it. */
export interface Visit extends ConsoleParts {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly signedIn: SignedIn | null;
  /** Aborts when the browser goes away. */
  readonly signal: AbortSignal;
}

export interface PersonalVisit extends Visit {
  readonly signedIn: SignedIn;
}

export function frameOf(visit: Visit): Frame {
  const { signedIn, store } = visit;
  return {
    person: signedIn?.person ?? null,
    singleOperator: store.rules.singleOperator,
    signOutToken: signedIn === null ? null : csrfToken(store, signedIn, 'sign-out'),
  };
}
