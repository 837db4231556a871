import { AsyncLocalStorage } from 'node:async_hooks';

/** The place of one request among those that are worked on at a time. */
export interface Place {
  park(): void;
  resume(): void;
}

const places = new AsyncLocalStorage<Place>();

/** Runs the work on one request so that its waits, however deep, can give back its place. */
export function runInPlace<Value>(place: Place, work: () => Value): Value {
  return places.run(place, work);
}

/** Waits without a place: a request that only waits for a person keeps none from being worked on. */
export async function whileParked<Value>(wait: () => Promise<Value>): Promise<Value> {
  const place = places.getStore();
  place?.park();
  try {
    return await wait();
  } finally {
    place?.resume();
  }
}
