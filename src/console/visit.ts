import type { SafeFetch } from '../kernel/safe_fetch.ts';
import type { WorkloadIssuer } from '../model/federation.ts';
import type { SignedIn } from '../model/person.ts';
import { csrfToken } from '../people/csrf.ts';
import type { RelyingParty } from '../people/passkey_challenge.ts';
import type { UpstreamProviders } from '../people/upstream/providers.ts';
import type { Store } from '../store/store.ts';
import { anonymousFrame, type Frame } from './frame.ts';

/** What the console works with; `server.ts` builds it once. */
export interface ConsoleParts {
  readonly store: Store;
  readonly rp: RelyingParty;
  /** Fetches the metadata of a tool server that asks to be accepted. */
  readonly fetch: SafeFetch;
  /** Identity providers that people may sign in by. */
  readonly upstream: UpstreamProviders;
  /** Issuers whose security events are acted on; none if left out. */
  readonly transmitters?: readonly string[];
  /** Platforms whose tokens may stand for agents; none if left out. */
  readonly platforms?: readonly WorkloadIssuer[];
  /** Aborts when this process is about to end: pages that wait are answered, and ask another one. */
  readonly draining: AbortSignal;
}

/** One request, as the handlers see it. */
export interface Visit extends ConsoleParts {
  /** The path of the issuer, which `params`, `query` and every path here leave out. */
  readonly base: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The Cookie header. */
  readonly cookies: string | undefined;
  readonly signedIn: SignedIn | null;
  /** Aborts when the browser goes away. */
  readonly signal: AbortSignal;
}

export interface PersonalVisit extends Visit {
  readonly signedIn: SignedIn;
}

export const SIGN_OUT_PURPOSE = 'sign-out';

export function frameOf({ signedIn, store }: Pick<Visit, 'signedIn' | 'store'>): Frame {
  return {
    ...anonymousFrame(store),
    person: signedIn?.person ?? null,
    signOutToken: signedIn === null ? null : csrfToken(store, signedIn, SIGN_OUT_PURPOSE),
  };
}
