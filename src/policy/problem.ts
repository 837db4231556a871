/** Why a policy set cannot be used: where, what is wrong, and what to write instead. */
export interface PolicyProblem {
  readonly path: string;
  /** Counted from 1; 0 when the problem is with the file or the folder as a whole. */
  readonly line: number;
  readonly policy_id?: string;
  readonly message: string;
  readonly instead: string;
}

/** One line in the form that editors and CI turn into a link. */
export function formatPolicyProblem(problem: PolicyProblem): string {
  const place = problem.line > 0 ? `${problem.path}:${problem.line}` : problem.path;
  const policy = problem.policy_id === undefined ? '' : ` policy "${problem.policy_id}":`;
  return `${place}:${policy} ${problem.message} ${problem.instead}`;
}
