import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type Router from '@koa/router';
import { ASSET_CACHE_SECONDS } from './limits.ts';

const TYPES = { css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' } as const;

const OWN = ['console.css', 'icon.svg', 'times.js', 'live.js', 'passkey.js'] as const;

interface Asset {
  readonly bytes: Buffer;
  readonly type: string;
}

/** Reads the few files that pages refer to once, so that no request ever names a path on disk. */
async function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  const here = join(import.meta.dirname, 'assets');
  const paths: readonly (readonly [string, string])[] = [
    ...OWN.map((name) => [name, join(here, name)] as const),
    ['simplewebauthn.js', simpleWebAuthnBundle()],
  ];
  const entries = paths.map(async ([name, path]) => {
    const extension = name.slice(name.lastIndexOf('.') + 1) as keyof typeof TYPES;
    return [name, { bytes: await readFile(path), type: TYPES[extension] }] as const;
  });
  return new Map(await Promise.all(entries));
}

/** The package's browser bundle is not among its exports; it lies beside its entry point. */
function simpleWebAuthnBundle(): string {
  const entry = createRequire(import.meta.url).resolve('@simplewebauthn/browser');
  return join(dirname(dirname(entry)), 'dist', 'bundle', 'index.umd.min.js');
}

export function addAssetRoutes(router: Router): void {
  let loaded: Promise<ReadonlyMap<string, Asset>> | undefined;
  router.get('/assets/:name', async (ctx) => {
    loaded ??= loadAssets();
    const asset = (await loaded).get(ctx.params.name ?? '');
    if (asset === undefined) {
      ctx.status = 404;
      return;
    }
    ctx.set('Content-Type', `${asset.type}; charset=utf-8`);
    ctx.set('X-Content-Type-Options', 'nosniff');
    ctx.set('Cross-Origin-Resource-Policy', 'same-origin');
    ctx.set('Cache-Control', `public, max-age=${ASSET_CACHE_SECONDS}`);
    ctx.body = asset.bytes;
  });
}
