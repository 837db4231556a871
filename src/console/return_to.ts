import { withoutBase } from './base_path.ts';

const INTERACTION = /^\/interaction\/[A-Za-z0-9_-]{1,64}(\/[a-z_]{1,32})?$/;
const OWN_PAGES =
  /^\/(|account|step-ups\/stp_[a-z2-7]{26}|(tool-servers|agents|tasks|people|audit)(\/[a-z]{3}_[a-z2-7]{26})?)$/;
const INNER = '?return_to=';

type Given = string | null | undefined;

/** The page of an authorization that waits for this decision, if `value` is one; without the base. */
export function interactionPath(value: Given, base = ''): string | null {
  const path = withoutBase(base, value ?? '');
  return INTERACTION.test(path) ? path : null;
}

/** A page of ours to go on to after signing in, if `value` is one. Everything else would be an open redirect. */
export function ownPath(value: Given, base = ''): string | null {
  const path = withoutBase(base, value ?? '');
  if (INTERACTION.test(path) || OWN_PAGES.test(path)) return path;
  const question = path.indexOf(INNER);
  if (question < 0 || !OWN_PAGES.test(path.slice(0, question))) return null;
  return interactionPath(decoded(path.slice(question + INNER.length)), base) === null ? null : path;
}

export function withReturn(path: string, returnTo: string | null): string {
  return returnTo === null ? path : `${path}${INNER}${encodeURIComponent(returnTo)}`;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
