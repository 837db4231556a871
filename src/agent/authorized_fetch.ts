import type { CachedToken } from './access_tokens.ts';
import type { Prover } from './prover.ts';

const ATTEMPTS_MAX = 3;

/**
 * A `fetch` that sends the token, with a proof of its key where it is bound to one. After a 401, which servers of this
 * kind answer before anything happens, the request is made once more: with the nonce that was asked for, or a new token.
 * Addresses come from others, in the card of an agent for one: to no other server than that of `resource` is it sent.
 */
export function authorizedFetch(token: CachedToken, prover: Prover | undefined, resource: string): typeof fetch {
  const { origin } = new URL(resource);
  return async (input, init) => {
    const template = new Request(input, init);
    if (new URL(template.url).origin !== origin) {
      throw new TypeError(`This token is for ${resource}, and is not sent to ${template.url}.`);
    }
    // A body can be read once; it is sent up to three times.
    const body = template.body === null ? undefined : await template.arrayBuffer();
    for (let sent = 1; ; sent += 1) {
      const accessToken = await token.get();
      const headers = new Headers(template.headers);
      headers.set('authorization', `${prover === undefined ? 'Bearer' : 'DPoP'} ${accessToken}`);
      const proof = await prover?.proof(template.method, template.url, accessToken);
      if (proof !== undefined) headers.set('dpop', proof);
      const { method, signal, redirect, url } = template;
      const response = await fetch(url, { method, headers, signal, redirect, ...(body === undefined ? {} : { body }) });
      const isNewNonce = prover?.learn(url, response.headers) === true;
      if (response.status !== 401 || sent === ATTEMPTS_MAX) return response;
      const wantsNonce = isNewNonce && /use_dpop_nonce/.test(response.headers.get('www-authenticate') ?? '');
      if (!wantsNonce && sent > 1) return response;
      if (!wantsNonce) token.forget();
      await response.body?.cancel();
    }
  };
}
