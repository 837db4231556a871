/** The issuer cannot be reached or does not answer as it should. Callers are refused; the message is for the log. */
export class IssuerOutage extends Error {
  override readonly name = 'IssuerOutage';

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
  }
}
