import type { Message, Task } from '@a2a-js/sdk';
import {
  type CallWithApprovalOptions,
  type Delegated,
  type Outcome,
  sendWithApproval,
} from '../../../src/agent/index.ts';
import type { A2ACaller } from '../../../src/guard/a2a/index.ts';
import { a2aClient, messageOf, startWorkingAgent, type Work, type WorkingAgent } from '../a2a_agent.ts';
import type { Member, Organisation } from './organisation.ts';
import { traced } from './tools.ts';

/** The address where a member takes messages of others; it ends with the organisation. */
export async function startDesk(
  { world, closing }: Organisation,
  name: string,
  member: Member,
  work: Work,
): Promise<WorkingAgent> {
  const desk = await startWorkingAgent(world, { name, as: member.agent, agentId: member.id, risk: 'read', work });
  closing.push(() => desk.close());
  return desk;
}

/** Asks the agent at a desk, and follows what becomes of it. */
export async function ask(
  desk: WorkingAgent,
  send: typeof fetch,
  words: string,
  options: CallWithApprovalOptions & { readonly traceparent?: string | undefined } = {},
): Promise<Outcome<Task | Message>> {
  const { traceparent, ...following } = options;
  const client = await a2aClient(desk.origin, traced(send, traceparent));
  return sendWithApproval(client, messageOf(words), { secondsMax: 30, ...following });
}

/** On behalf of whoever sent the message that this agent works on: they hear of what waits further down. */
export function passOn(caller: A2ACaller<Delegated>) {
  return {
    traceparent: caller.traceparent,
    onWaiting: (waiting: Parameters<A2ACaller['tellWaiting']>[0]) => caller.tellWaiting(waiting),
  };
}

/** The words of an answer. Anything but an answer is told as it is. */
export function wordsOf(outcome: Outcome<unknown>): string {
  if (outcome.kind !== 'done') return `${outcome.kind}: ${JSON.stringify(outcome)}`;
  const result = outcome.result as Partial<Task & Message> & { content?: readonly { text?: string }[] };
  if (result.content !== undefined) return result.content.map((one) => one.text ?? '').join('');
  const message = result.parts === undefined ? result.status?.message : (result as Message);
  return (message?.parts ?? []).map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('');
}
