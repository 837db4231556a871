/** PostgreSQL, appendix A: text that no column can hold, of which only U+0000 is left once text is valid UTF-8. */
const UNSTORABLE_TEXT_CODES = ['22021', '22P05'];

/** Whether a text of the request is why this failed: it holds U+0000. The transaction was rolled back. */
export function isUnstorableText(error: unknown): boolean {
  return error instanceof Error && UNSTORABLE_TEXT_CODES.includes(String((error as { code?: unknown }).code));
}
