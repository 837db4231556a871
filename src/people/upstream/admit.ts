import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { parseExternalId } from '../directory/directory_user.ts';
import { AMR_VALUES_MAX, DISPLAY_NAME_CHARACTERS_MAX, SUBJECT_CHARACTERS_MAX, UPSTREAM_GROUPS_MAX } from '../limits.ts';
import { parseVisibleName } from '../visible_name.ts';
import type { UpstreamSettings } from './settings_schema.ts';

type Rules = Pick<
  UpstreamSettings,
  | 'name'
  | 'new_people'
  | 'groups_claim'
  | 'allowed_groups'
  | 'administrators_group'
  | 'groups_map'
  | 'directory_claim'
  | 'required_acr'
  | 'required_amr'
>;

/** Who comes, by the verified claims of an ID token and what the configuration makes of them. */
export interface Admitted {
  readonly issuer: string;
  readonly subject: string;
  /** Null where no claim can be shown. */
  readonly displayName: string | null;
  /** Names of groups; null where the configuration reads none. */
  readonly groups: readonly string[] | null;
  /** Null where the provider does not say. */
  readonly isAdministrator: boolean | null;
  /** By what the directory knows the same person; null without one. */
  readonly directoryId: string | null;
  readonly mayBeNew: boolean;
  readonly amr: readonly string[];
  /** When they proved to the provider who they are, in seconds; null if it does not say. */
  readonly authTime: number | null;
}

type Claims = Readonly<Record<string, unknown>>;

/** Pure: what the token says was verified before, and nothing is looked up. What is not said counts as no (T11). */
export function admit(rules: Rules, claims: Claims): Result<Admitted, Refusal> {
  const { name } = rules;
  const [issuer, subject] = [String(claims.iss), String(claims.sub)];
  // OpenID Connect Core §2: not longer than 255.
  if (subject.length > SUBJECT_CHARACTERS_MAX) {
    return refused(refusal('sign_in_refused', `${name} gave you an id that is longer than ids may be.`));
  }
  const amr = textsIn(claims.amr).filter((value) => /^[a-z0-9_.-]{1,32}$/.test(value));
  if (rules.required_acr.length > 0 && !rules.required_acr.includes(String(claims.acr ?? ''))) {
    return refused(notEnough(name, `It must be one of: ${rules.required_acr.join(', ')}.`));
  }
  if (!rules.required_amr.every((method) => amr.includes(method))) {
    return refused(notEnough(name, `It must include: ${rules.required_amr.join(', ')}.`));
  }
  const groups = rules.groups_claim === null ? null : textsIn(claims[rules.groups_claim]);
  const isAllowed = rules.allowed_groups.some((group) => groups?.includes(group));
  if (rules.allowed_groups.length > 0 && !isAllowed) {
    const words = `${name} says that you are in none of the groups that may sign in here. Ask your administrator to add you to one.`;
    return refused(refusal('sign_in_refused', words));
  }
  const directoryId = rules.directory_claim === null ? null : directoryIdOf(claims[rules.directory_claim]);
  return accepted({
    issuer,
    subject,
    displayName: displayNameOf(claims),
    groups: groups === null ? null : namesOf(groups, rules.groups_map),
    isAdministrator: rules.administrators_group === null ? null : groups!.includes(rules.administrators_group),
    directoryId,
    mayBeNew: rules.new_people === 'anyone' || (rules.new_people === 'allowed_groups' && isAllowed),
    amr: ['upstream', ...amr.slice(0, AMR_VALUES_MAX).map((method) => `upstream:${method}`)],
    authTime: isMoment(claims.auth_time) ? claims.auth_time : null,
  });
}

/** Whether the provider sent a link instead of the groups, as Microsoft Entra ID does when there are too many. */
export function leavesGroupsOut(rules: Pick<Rules, 'groups_claim'>, claims: Claims): boolean {
  const names = claims._claim_names;
  const isLinked =
    typeof names === 'object' && names !== null && rules.groups_claim !== null && rules.groups_claim in names;
  return isLinked || claims.hasgroups === true;
}

function notEnough(name: string, wanted: string): Refusal {
  const words = `${name} did not say that you proved who you are in the way this server asks for. ${wanted} Sign in there with a second factor, then again here.`;
  return refusal('sign_in_refused', words);
}

function namesOf(groups: readonly string[], map: UpstreamSettings['groups_map']): string[] {
  const names = map === null ? groups : groups.flatMap((group) => (Object.hasOwn(map, group) ? [map[group]!] : []));
  return [...new Set(names)].slice(0, UPSTREAM_GROUPS_MAX);
}

function displayNameOf(claims: Claims): string | null {
  for (const claim of [claims.name, claims.preferred_username, claims.email]) {
    const name = typeof claim === 'string' ? parseVisibleName(claim, DISPLAY_NAME_CHARACTERS_MAX) : null;
    if (name?.ok) return name.value;
  }
  return null;
}

function directoryIdOf(value: unknown): string | null {
  const id = typeof value === 'string' ? parseExternalId(value) : null;
  return id?.ok ? id.value : null;
}

/** Seconds since 1970 that a clock could show. */
function isMoment(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < 2 ** 33;
}

function textsIn(value: unknown): string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.filter((one): one is string => typeof one === 'string' && one !== '');
}
