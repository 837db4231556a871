import { createRequire } from 'node:module';

export type Cedar = typeof import('@cedar-policy/cedar-wasm/nodejs');

/**
 * A new WebAssembly instance of Cedar (10 to 40 ms). After a trap an instance fails every later call, so instances are
 * thrown away: neither the module cache nor the list of children of a requiring module may keep one alive.
 */
export function newCedarInstance(): Cedar {
  const require = createRequire(import.meta.url);
  const path = require.resolve('@cedar-policy/cedar-wasm/nodejs');
  delete require.cache[path];
  const cedar = require(path) as Cedar;
  delete require.cache[path];
  return cedar;
}
