const INTERACTION = /^\/interaction\/[A-Za-z0-9_-]{1,64}(\/[a-z_]{1,32})?$/;
const OWN_PAGES =
  /^\/(|account|step-ups\/stp_[a-z2-7]{26}|(tool-servers|agents|tasks|people|audit)(\/[a-z]{3}_[a-z2-7]{26})?)$/;

/** The page of an authorization that waits for this decision, if `value` is one. */
export function interactionPath(value: string | null | undefined): string | null {
  return value !== null && value !== undefined && INTERACTION.test(value) ? value : null;
}

/** A page of ours to go on to after signing in, if `value` is one. Everything else would be an open redirect. */
export function ownPath(value: string | null | undefined): string | null {
  if (value === null || value === undefined) return null;
  if (INTERACTION.test(value) || OWN_PAGES.test(value)) return value;
  const question = value.indexOf('?return_to=');
  if (question < 0 || !OWN_PAGES.test(value.slice(0, question))) return null;
  const inner = decoded(value.slice(question + '?return_to='.length));
  return interactionPath(inner) === null ? null : value;
}

export function withReturn(path: string, returnTo: string | null): string {
  return returnTo === null ? path : `${path}?return_to=${encodeURIComponent(returnTo)}`;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
