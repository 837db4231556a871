/** Who does something to a record: a person who is signed in, a machine by its API token, an agent, or the server itself. */
export type Acting =
  | { readonly kind: 'person'; readonly id: string }
  | { readonly kind: 'api_token'; readonly id: string }
  | { readonly kind: 'agent'; readonly id: string }
  | { readonly kind: 'server'; readonly id: 'server' };

/** The server acts by itself: a deadline passed. */
export const BY_SERVER: Acting = { kind: 'server', id: 'server' };

/** Who did it, as events name it: the kind only where it is not a person. */
export function actingIds(by: Acting): { readonly by: string; readonly by_kind?: string } {
  return by.kind === 'person' ? { by: by.id } : { by: by.id, by_kind: by.kind };
}
