import type { Context } from 'koa';

const PERMISSIONS = [
  'accelerometer',
  'camera',
  'clipboard-read',
  'display-capture',
  'geolocation',
  'gyroscope',
  'magnetometer',
  'microphone',
  'midi',
  'payment',
  'usb',
].map((feature) => `${feature}=()`);

/**
 * The headers of every page: nothing from elsewhere, nothing inline, no frames (T40), nothing kept, nothing told to other
 * sites. A consent page names the client's redirect origin in `formTargets`, since browsers hold the redirect that
 * follows a form to `form-action` too.
 */
export function setPageHeaders(ctx: Context, formTargets: readonly string[] = []): void {
  ctx.set('Content-Security-Policy', contentSecurityPolicy(formTargets));
  ctx.set('Referrer-Policy', 'no-referrer');
  ctx.set('X-Content-Type-Options', 'nosniff');
  ctx.set('X-Frame-Options', 'DENY');
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Cross-Origin-Opener-Policy', 'same-origin');
  ctx.set('Cross-Origin-Resource-Policy', 'same-origin');
  ctx.set(
    'Permissions-Policy',
    [...PERMISSIONS, 'publickey-credentials-get=(self)', 'publickey-credentials-create=(self)'].join(', '),
  );
}

export function contentSecurityPolicy(formTargets: readonly string[]): string {
  for (const target of formTargets) {
    if (!/^[a-z][a-z0-9+.-]*:(\/\/[^\s;,'"]+)?$/i.test(target)) {
      throw new TypeError(`"${target}" is no origin that a policy can name.`);
    }
  }
  return [
    "default-src 'none'",
    "style-src 'self'",
    "script-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    `form-action ${["'self'", ...formTargets].join(' ')}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');
}
