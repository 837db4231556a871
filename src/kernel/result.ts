/** The outcome of something that may be refused for an expected reason. Bugs and outages throw instead. */
export type Result<Value, Reason> = Accepted<Value> | Refused<Reason>;

export interface Accepted<Value> {
  readonly ok: true;
  readonly value: Value;
}

export interface Refused<Reason> {
  readonly ok: false;
  readonly refusal: Reason;
}

export function accepted<Value>(value: Value): Accepted<Value> {
  return { ok: true, value };
}

export function refused<Reason>(refusal: Reason): Refused<Reason> {
  return { ok: false, refusal };
}
