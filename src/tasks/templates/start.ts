import { type Result, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import type { StartedTask } from '../insert_task.ts';
import { startTask } from '../start.ts';
import { notActive } from './lock.ts';
import { findTemplateOf } from './template.ts';

export interface StartFromTemplate {
  readonly agentId: string;
  readonly clientId: string;
  /** Its name, or its id. */
  readonly template: string;
  /** Not longer than the template says. */
  readonly seconds?: number | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly traceparent?: string | undefined;
}

/** Starts the task that was approved in advance: for whom, what for, with which tools and budget are the template's. */
export async function startFromTemplate(
  store: Store,
  { agentId, clientId, seconds, idempotencyKey, traceparent, ...input }: StartFromTemplate,
): Promise<Result<StartedTask, Refusal>> {
  const template = await findTemplateOf(store, agentId, input.template);
  if (template === undefined || !template.isInForce) return refused(notActive());
  if (seconds !== undefined && seconds > template.seconds) {
    return refused(refusal('not_allowed', `A task of this template may last ${template.seconds} seconds at most.`));
  }
  return startTask(store, {
    requesterId: template.requester_id,
    agentId,
    clientId,
    purpose: template.purpose,
    purposeCode: template.purpose_code,
    tools: template.tools,
    budget: template.budget,
    seconds: seconds ?? template.seconds,
    oauthGrantId: null,
    origin: 'template',
    templateId: template.id,
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(traceparent === undefined ? {} : { traceparent }),
  });
}
