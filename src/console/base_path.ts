/** The path of the issuer, without a slash at its end: empty for an issuer at the root of its host. */
export function basePathOf(issuer: string): string {
  return new URL(issuer).pathname.replace(/\/+$/, '');
}

/** A path of ours as browsers must ask for it. */
export function withBase(base: string, path: string): string {
  return base === '' || isUnder(base, path) ? path : `${base}${path}`;
}

/** A path as browsers ask for it, without the base. */
export function withoutBase(base: string, path: string): string {
  return base !== '' && isUnder(base, path) ? path.slice(base.length) : path;
}

function isUnder(base: string, path: string): boolean {
  return path === base || path.startsWith(`${base}/`) || path.startsWith(`${base}?`);
}

const OWN_ADDRESS = / (href|action|src|data-live|data-options)="(\/[^"]*)"/g;

/**
 * Puts the base before every address of ours in a page. Text from outside cannot be taken for an attribute here: its
 * quotation marks are escaped.
 */
export function rebase(page: string, base: string): string {
  if (base === '') return page;
  return page.replace(OWN_ADDRESS, (_, name: string, path: string) => ` ${name}="${withBase(base, path)}"`);
}
