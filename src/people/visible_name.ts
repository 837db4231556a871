import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/**
 * A name that others will read. Control, direction and invisible characters are refused: with them one name can be made
 * to look like another.
 */
export function parseVisibleName(text: string, charactersMax: number): Result<string, Refusal> {
  const name = text.normalize('NFC').trim().replace(/ {2,}/g, ' ');
  if (name === '') return refused(refusal('request_invalid', 'The name is empty. Write one.'));
  if (name.length > charactersMax) {
    return refused(refusal('request_invalid', `The name is too long: it may have ${charactersMax} characters.`));
  }
  if (!name.isWellFormed() || /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u.test(name)) {
    return refused(refusal('request_invalid', 'The name holds invisible or control characters. Type it again.'));
  }
  return accepted(name);
}
