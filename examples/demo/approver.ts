import type { Waiting } from '../../src/agent/index.ts';
import { type ScriptedPerson, textOf } from './scripted_person.ts';

/** A link that signs the operator in, once, and leads to what is to be decided. */
export async function signInLink(operator: ScriptedPerson, issuer: string, waiting: Waiting): Promise<string> {
  const people = await operator.open('/people');
  const page = await operator.submit(people, { action: /\/people\/prs_[a-z2-7]{26}\/link$/ });
  const link = new RegExp(`${issuer}/link/[A-Za-z0-9_-]+`).exec(page.html)?.[0];
  if (link === undefined) throw new Error(`No sign-in link was made: ${textOf(page.html)}`);
  return `${link}?return_to=${encodeURIComponent(new URL(waiting.approvalUrl).pathname)}`;
}

/** The operator reads the page over HTTP and decides, as a browser would post the form. */
export async function decideByScript(
  operator: ScriptedPerson,
  waiting: Waiting,
  decision: 'approve' | 'deny',
): Promise<string> {
  const page = await operator.open(waiting.approvalUrl);
  const fields: Record<string, string> = decision === 'deny' ? { reason: 'Eggs are on the list already.' } : {};
  const answer = await operator.submit(page, { action: /\/decision$/, having: { decision } }, fields);
  if (answer.status !== 200) throw new Error(`${answer.status}: ${textOf(answer.html)}`);
  const headline = /<h1[^>]*>([\s\S]*?)<\/h1>/.exec(page.html)?.[1] ?? '';
  return `A scripted person read "${textOf(headline)}" and chose to ${decision}.`;
}
