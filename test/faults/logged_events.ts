export type EventIds = Readonly<Record<string, string | number | null>>;

/** One event of the exported log. */
export interface LoggedEvent {
  readonly position: number;
  readonly kind: string;
  readonly ids: EventIds;
}

/** The events of an export as `countersign audit export` writes it. That it verifies is the verifier's to say. */
export function readEvents(exported: string): LoggedEvent[] {
  return exported.split('\n').flatMap((line) => {
    const { position, body } = line === '' ? {} : (JSON.parse(line) as { position?: number; body?: string });
    if (position === undefined || body === undefined) return [];
    const { kind, ids } = JSON.parse(body) as { kind: string; ids: EventIds };
    return [{ position, kind, ids }];
  });
}

/** Finds events by kind and ids. */
export class LogIndex {
  readonly #byKind: ReadonlyMap<string, readonly LoggedEvent[]>;
  readonly #byId = new Map<string, LoggedEvent[]>();

  constructor(events: readonly LoggedEvent[]) {
    this.#byKind = Map.groupBy(events, (event) => event.kind);
    for (const event of events) {
      for (const [name, value] of Object.entries(event.ids)) {
        const key = `${event.kind} ${name} ${value}`;
        const found = this.#byId.get(key);
        if (found === undefined) this.#byId.set(key, [event]);
        else found.push(event);
      }
    }
  }

  all(kind: string): readonly LoggedEvent[] {
    return this.#byKind.get(kind) ?? [];
  }

  /** Whether there is one with all these ids, before a position if one is named. */
  has(kind: string, ids: Readonly<Record<string, unknown>>, before = Number.POSITIVE_INFINITY): boolean {
    const [[name, value] = ['', ''], ...others] = Object.entries(ids);
    const candidates = this.#byId.get(`${kind} ${name} ${value}`) ?? [];
    return candidates.some(
      (event) => event.position < before && others.every(([other, wanted]) => event.ids[other] === wanted),
    );
  }

  /** How many there are of each value of an id. */
  count(kind: string, id: string): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { ids } of this.all(kind)) counts.set(String(ids[id]), (counts.get(String(ids[id])) ?? 0) + 1);
    return counts;
  }
}
