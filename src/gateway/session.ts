import type { JsonObject } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Manifest } from './manifest.ts';
import { ManifestWatch } from './manifest_watch.ts';
import type { Upstream, UpstreamNotification, UpstreamRequestOptions } from './upstream/connection.ts';

export interface SessionRequestOptions extends UpstreamRequestOptions {
  /** Log messages of the upstream while this is the only call in flight: otherwise nobody can say whose they are. */
  readonly onLog?: (params: JsonObject) => void;
}

/** One upstream process or HTTP session with the watch over its tools. */
export class Session {
  readonly upstream: Upstream;
  readonly watch: ManifestWatch;
  readonly #calls = new Set<SessionRequestOptions>();
  /** Of the manifest, at this session's last report. */
  #manifestVersion = 0;

  constructor(upstream: Upstream, manifest: Manifest, log: Logger) {
    this.upstream = upstream;
    this.watch = new ManifestWatch(upstream, log, (list) => {
      this.#manifestVersion = manifest.report(list);
    });
    upstream.onNotification((notification) => this.#notified(notification));
  }

  /** Whether another process has shown a newer list since this one was read. */
  isOlderThan(manifest: Manifest): boolean {
    return this.#manifestVersion < manifest.version;
  }

  async request(method: string, params: JsonObject, options: SessionRequestOptions): Promise<JsonObject> {
    this.#calls.add(options);
    try {
      return await this.upstream.request(method, params, options);
    } finally {
      this.#calls.delete(options);
    }
  }

  #notified({ method, params }: UpstreamNotification): void {
    if (method === 'notifications/tools/list_changed') {
      this.watch.listChanged();
      return;
    }
    if (method !== 'notifications/message' || this.#calls.size !== 1) return;
    for (const call of this.#calls) call.onLog?.(params);
  }
}
