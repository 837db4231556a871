import { GUARD_API, type StepUpStatus } from '../../src/wire/guard_api.ts';
import { APPROVED_FILES, MANY_USES } from './limits.ts';
import { type NodeWorld, newTokens } from './node_world.ts';

/**
 * Files whose writing was asked for and approved, each the usual way, by the page. Then the grants are made good for many
 * uses, so that redemption can be measured for longer than approving takes.
 */
export async function approveFiles(world: NodeWorld): Promise<string[]> {
  const files = Array.from({ length: APPROVED_FILES }, (_, index) => `approved-${index}.md`);
  const { caller } = await newTokens(world);
  for (const path of files) {
    const { step_up_id } = await openStepUp(world, caller, path);
    const page = await world.operator.open(`/step-ups/${step_up_id}`);
    const answer = await world.operator.submit(page, { action: /\/decision$/, having: { decision: 'approve' } });
    if (answer.status !== 200) throw new Error(`The decision was answered ${answer.status}.`);
  }
  await world.installation.query(
    "update grants set max_uses = $1, expires_at = clock_timestamp() + interval '1 hour' where revoked_at is null",
    [MANY_USES],
  );
  return files;
}

/** A step-up that waits for a decision. */
export async function openStepUp({ guard }: NodeWorld, caller: string, path: string): Promise<StepUpStatus> {
  const args = { path, content: 'x' };
  const asked = await guard.send(GUARD_API.evaluate, { body: guard.question(caller, 'write_note', args) });
  if (asked.body.decision !== 'step_up') throw new Error(`No step-up: ${JSON.stringify(asked.body)}`);
  const challenge = await guard.signChallenge(asked.body.txn, guard.describe('write_note', args));
  const opened = await guard.send(GUARD_API.challenges, {
    body: { step_up_id: asked.body.step_up.step_up_id, challenge },
  });
  if (opened.status !== 200) throw new Error(`Not opened: ${opened.status} ${JSON.stringify(opened.body)}`);
  return opened.body;
}
