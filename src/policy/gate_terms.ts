import {
  GATE_APPROVERS_MAX,
  GATE_QUORUM_MAX,
  GATE_TIMEOUT_SECONDS_MAX,
  GATE_TTL_SECONDS_MAX,
  GATE_USES_MAX,
} from './limits.ts';
import { type Approver, type GateTerms, TIERS, type Tier } from './requirements.ts';

/** What is wrong with an annotation, before anyone knows in which file it stands. */
export interface Complaint {
  readonly message: string;
  readonly instead: string;
}

type Annotations = Readonly<Record<string, string>>;

export const GATE_ANNOTATIONS = ['stepup', 'approvers', 'quorum', 'ttl', 'max_uses', 'tier', 'timeout'] as const;

/**
 * Reads the annotations of a gate. Cedar never looks at annotations, so a typo must fail here, at load. What may be left
 * out falls back to the narrowest: one use, five minutes, one person.
 */
export function readGateTerms(annotations: Annotations): GateTerms | readonly Complaint[] {
  const complaints: Complaint[] = [];
  const complain = (message: string, instead: string) => {
    complaints.push({ message, instead });
  };
  const why = (annotations.stepup ?? '').trim();
  if (why === '') complain('@stepup says nothing.', 'Write @stepup("why a person must look, in plain words").');
  const approvers = readApprovers(annotations.approvers, complain);
  const quorum = readCount('quorum', annotations.quorum ?? '1', GATE_QUORUM_MAX, complain);
  const maxUses = readCount('max_uses', annotations.max_uses ?? '1', GATE_USES_MAX, complain);
  const ttl = readDuration('ttl', annotations.ttl ?? 'PT5M', GATE_TTL_SECONDS_MAX, complain);
  const timeout = readDuration('timeout', annotations.timeout ?? 'PT10M', GATE_TIMEOUT_SECONDS_MAX, complain);
  const tier = (annotations.tier ?? 'standard') as Tier;
  if (!TIERS.includes(tier)) complain(`@tier("${tier}") is no tier.`, `Write one of ${quotedList(TIERS)}.`);
  if (approvers.length > 0 && quorum > personsAtMost(approvers)) {
    const message = `@quorum("${quorum}") can never be met by @approvers("${annotations.approvers}").`;
    complain(message, 'Name a group or "administrators", or ask for fewer persons.');
  }
  if (complaints.length > 0) return complaints;
  return { why, approvers, quorum, tier, ttl_seconds: ttl, max_uses: maxUses, timeout_seconds: timeout };
}

type Complain = (message: string, instead: string) => void;

const APPROVER = /^(?:requester|owner|administrators|(?:group|person):[^\s,]+)$/;
const APPROVERS_INSTEAD =
  'Write @approvers("…") with "requester", "owner", "administrators", "group:<name>" or "person:<id>", commas between.';

function readApprovers(text: string | undefined, complain: Complain): Approver[] {
  if (text === undefined) {
    complain('A gate must say who may lift it: @approvers is missing.', APPROVERS_INSTEAD);
    return [];
  }
  const names = text.split(',').map((name) => name.trim());
  const wrong = names.filter((name) => !APPROVER.test(name));
  if (wrong.length > 0) complain(`@approvers names ${quotedList(wrong)}, which is nobody.`, APPROVERS_INSTEAD);
  if (names.length > GATE_APPROVERS_MAX) {
    complain(`@approvers names ${names.length} approvers.`, `Name at most ${GATE_APPROVERS_MAX}, or a group.`);
  }
  return wrong.length > 0 ? [] : ([...new Set(names)] as Approver[]);
}

function readCount(name: string, text: string, max: number, complain: Complain): number {
  const count = /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= max) return count;
  complain(`@${name}("${text}") is not a number from 1 to ${max}.`, `Write for example @${name}("1").`);
  return 1;
}

const DURATION = /^PT(?=[0-9])(?:([0-9]{1,5})H)?(?:([0-9]{1,5})M)?(?:([0-9]{1,6})S)?$/;

function readDuration(name: string, text: string, maxSeconds: number, complain: Complain): number {
  const [, hours = '0', minutes = '0', seconds = '0'] = DURATION.exec(text) ?? [];
  const total = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  if (total >= 1 && total <= maxSeconds) return total;
  const message = `@${name}("${text}") is not an ISO 8601 duration from PT1S to PT${maxSeconds / 3600}H.`;
  complain(message, `Write for example @${name}("PT5M") for five minutes.`);
  return 1;
}

function personsAtMost(approvers: readonly Approver[]): number {
  const isCrowd = approvers.some((approver) => approver === 'administrators' || approver.startsWith('group:'));
  return isCrowd ? Number.POSITIVE_INFINITY : approvers.length;
}

function quotedList(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
