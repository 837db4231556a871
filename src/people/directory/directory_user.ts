import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import {
  DISPLAY_NAME_CHARACTERS_MAX,
  EMAIL_CHARACTERS_MAX,
  EXTERNAL_ID_CHARACTERS_MAX,
  USER_NAME_CHARACTERS_MAX,
} from '../limits.ts';
import { parseVisibleName } from '../visible_name.ts';

/** A person as their directory describes them. Nobody is recognised by name or mail address: both are only shown. */
export interface DirectoryUser {
  readonly userName: string;
  readonly displayName: string;
  readonly email: string | null;
  readonly externalId: string | null;
  readonly isActive: boolean;
}

/** The user with every text as it may be shown; refused with the first that may not. */
export function checkUser(user: DirectoryUser): Result<DirectoryUser, Refusal> {
  const userName = parseVisibleName(user.userName, USER_NAME_CHARACTERS_MAX);
  if (!userName.ok) return named('userName', userName.refusal);
  const displayName = parseVisibleName(user.displayName, DISPLAY_NAME_CHARACTERS_MAX);
  if (!displayName.ok) return named('displayName', displayName.refusal);
  const email = user.email === null ? accepted(null) : parseVisibleName(user.email, EMAIL_CHARACTERS_MAX);
  if (!email.ok) return named('emails', email.refusal);
  const externalId = parseExternalId(user.externalId);
  if (!externalId.ok) return externalId;
  return accepted({
    userName: userName.value,
    displayName: displayName.value,
    email: email.value,
    externalId: externalId.value,
    isActive: user.isActive,
  });
}

/** Compared letter by letter, so nothing is changed about it. */
export function parseExternalId(text: string | null): Result<string | null, Refusal> {
  if (text === null) return accepted(null);
  const isFit = text !== '' && text.length <= EXTERNAL_ID_CHARACTERS_MAX && /^[\P{C}]+$/u.test(text);
  if (isFit) return accepted(text);
  const message = `externalId must have 1 to ${EXTERNAL_ID_CHARACTERS_MAX} visible characters.`;
  return refused(refusal('request_invalid', message));
}

function named(attribute: string, found: Refusal): Result<never, Refusal> {
  return refused(refusal(found.code, `${attribute}: ${found.message}`));
}
