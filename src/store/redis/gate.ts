import { RedisOutage } from './errors.ts';
import { OPERATION_MS_MAX, OPERATIONS_IN_FLIGHT_MAX } from './limits.ts';

/** Bounds operations in number and in time, whatever the driver does with them. */
export interface Gate {
  pass<Value>(operation: () => Promise<Value>): Promise<Value>;
  close(): void;
}

export function createGate(): Gate {
  let inFlight = 0;
  let isClosed = false;
  return {
    async pass(operation) {
      if (isClosed) throw new RedisOutage('closed', 'The connection to Redis was closed.');
      if (inFlight >= OPERATIONS_IN_FLIGHT_MAX) {
        throw new RedisOutage('busy', `${inFlight} operations wait for Redis already; no more are queued.`);
      }
      inFlight += 1;
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => reject(new RedisOutage('no_answer', `Redis did not answer within ${OPERATION_MS_MAX} ms.`)),
        OPERATION_MS_MAX,
      );
      try {
        return await Promise.race([operation(), late]);
      } finally {
        clearTimeout(timer);
        inFlight -= 1;
      }
    },
    close() {
      isClosed = true;
    },
  };
}
