/** Something the person at the terminal can mend; shown as it is, without a stack. */
export class CommandError extends Error {
  override name = 'CommandError';
}
