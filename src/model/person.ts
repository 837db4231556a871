/** A person who is signed in on this request, as `people/` established it from the session cookie. */
export interface SignedIn {
  readonly sessionIdHash: string;
  readonly person: { readonly id: string; readonly displayName: string; readonly isAdministrator: boolean };
  /** How they signed in: `link`, or `hwk`/`swk` and `user` for a passkey with user verification (RFC 8176). */
  readonly amr: readonly string[];
  readonly authenticatedAt: Date;
}
