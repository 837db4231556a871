import type { EphemeralStore } from './ephemeral.ts';

/**
 * True for what was issued before the memory begins: its mark may be lost, so it may be a replay, and whoever sent it makes
 * a new one. Ask after its mark was set: the memory may turn out to be younger just then. There is no tolerance for clocks
 * that differ, since what was used just before the memory was lost must stay dead (F2). `issuedAt` is in whole seconds.
 */
export function isForgotten(ephemeral: Pick<EphemeralStore, 'remembersSince'>, issuedAt: number): boolean {
  return issuedAt < Math.floor(ephemeral.remembersSince.getTime() / 1000);
}
