import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { UPSTREAMS_MAX } from './limits.ts';
import type { Session } from './session.ts';

/**
 * Which log level each principal asked for. A 2025 client sets it once and would not know that the process which knew it
 * is gone.
 */
export class LogLevels {
  readonly #levels = new Map<string, JsonValue | undefined>();
  readonly #told = new WeakMap<Session, JsonValue | undefined>();

  remember(session: Session, principalKey: string, { level }: JsonObject): void {
    this.#levels.delete(principalKey);
    this.#levels.set(principalKey, level);
    this.#told.set(session, level);
    // Insertion order is age: the oldest goes.
    const [oldest] = this.#levels.keys();
    if (this.#levels.size > UPSTREAMS_MAX * 4 && oldest !== undefined) this.#levels.delete(oldest);
  }

  /** Tells a fresh process. A server that refuses keeps its own level; the call matters more. */
  async restore(session: Session, principalKey: string): Promise<void> {
    const level = this.#levels.get(principalKey);
    if (level === undefined || this.#told.get(session) === level) return;
    this.#told.set(session, level);
    await session.upstream.request('logging/setLevel', { level }).catch(() => {});
  }
}
