/** A value that JSON can carry (RFC 8259). `undefined` members are left out when it is written. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [name: string]: JsonValue | undefined;
}
