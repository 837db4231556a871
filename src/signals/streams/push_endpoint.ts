import { isIP } from 'node:net';
import { isPublicAddress } from '../../kernel/public_address.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';

/**
 * Checks the address a receiver names, so that it hears of a mistake at once. What a name leads to is checked with every
 * message (`safe_fetch`), since that may change.
 */
export function checkPushEndpoint(text: string, allowedHosts: readonly string[]): Result<string, Refusal> {
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '' || url.hash !== '') {
    const words = 'delivery.endpoint_url must be an absolute URL without user name, password and fragment.';
    return refused(refusal('request_invalid', `${words} Use delivery.authorization_header to authenticate us.`));
  }
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const isAllowed = allowedHosts.includes(`${url.hostname}:${port}`) || allowedHosts.includes(`${url.hostname}:*`);
  if (isAllowed && /^https?:$/.test(url.protocol)) return accepted(url.href);
  if (url.protocol !== 'https:') {
    return refused(refusal('request_invalid', 'delivery.endpoint_url must use https.'));
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) === 0 ? host.includes('.') : isPublicAddress(host)) return accepted(url.href);
  const words =
    'delivery.endpoint_url leads to a private address. Poll instead, or ask the operator to allow the host.';
  return refused(refusal('request_invalid', words));
}
