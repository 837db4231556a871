import { sha256Base64url } from '../kernel/digest.ts';
import type { Store } from '../store/store.ts';
import { EVENT_MAC_PURPOSE } from './append.ts';
import { type NewEvent, writeEventBody } from './event_body.ts';

/** An event without a personal part as a row, for those who write it in a statement of their own. `at` is PostgreSQL's. */
export interface EventRow {
  readonly kind: string;
  readonly body: string;
  readonly body_digest: string;
  readonly mac: Buffer;
  readonly at: Date;
}

export function eventRow({ vault }: Pick<Store, 'vault'>, event: Omit<NewEvent, 'personal'>, at: Date): EventRow {
  const body = writeEventBody(event, at, null);
  const mac = vault.hmac(EVENT_MAC_PURPOSE, body);
  return { kind: event.kind, body, body_digest: sha256Base64url(body), mac, at };
}
