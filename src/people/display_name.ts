import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { DISPLAY_NAME_CHARACTERS_MAX } from './limits.ts';

/**
 * The name of a person as others will see it beside a decision. Control, direction and invisible characters are refused:
 * with them a name could be made to read as another person's.
 */
export function parseDisplayName(text: string): Result<string, Refusal> {
  const name = text.normalize('NFC').trim().replace(/ {2,}/g, ' ');
  if (name === '') return refused(refusal('request_invalid', 'Write your name, so that others know who decided.'));
  if (name.length > DISPLAY_NAME_CHARACTERS_MAX) {
    return refused(refusal('request_invalid', `A name has at most ${DISPLAY_NAME_CHARACTERS_MAX} characters.`));
  }
  if (!name.isWellFormed() || /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u.test(name)) {
    return refused(refusal('request_invalid', 'The name holds invisible or control characters. Type it again.'));
  }
  return accepted(name);
}
