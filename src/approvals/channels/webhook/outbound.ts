import type { JsonObject } from '../../../kernel/json.ts';
import { type SafeFetch, SafeFetchError, type SafeFetchResponse } from '../../../kernel/safe_fetch.ts';
import type { Channel, Delivery, Message } from '../../channel.ts';
import type { WebhookSettings } from './config.ts';
import { signedHeaders } from './signature.ts';

/** After an answer that says the receiver as a whole is in trouble without saying for how long. */
const PAUSE_MS = 5_000;
/** "Delivery success and failure" of Standard Webhooks 1.0.0: these are about the receiver, not about the message. */
const OVERLOADED = [429, 502, 503, 504];
const GONE = 410;
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Messages to a program of the operator's, as Standard Webhooks 1.0.0 has them. */
export function createWebhookChannel(settings: WebhookSettings, fetch: SafeFetch): Channel {
  return {
    name: 'webhook',
    async send(message, signal) {
      const body = bodyOf(message);
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'countersign',
        ...signedHeaders(settings.keys, { id: message.id, body, sentAt: new Date() }),
      };
      try {
        return readAnswer(await fetch(settings.url, { method: 'POST', headers, body, signal }));
      } catch (error) {
        if (error instanceof SafeFetchError) return readFailure(error);
        throw error;
      }
    },
  };
}

/** What receivers rely on: documented in docs/operations.md. */
function bodyOf(message: Message): string {
  return JSON.stringify({
    type: message.kind,
    timestamp: message.occurredAt.toISOString(),
    data: dataOf(message),
  });
}

function dataOf(message: Message): JsonObject {
  switch (message.kind) {
    case 'agent.offboarded': {
      const { id, name, clientId, ownerId } = message.agent;
      return { agent_id: id, name, client_id: clientId, owner_id: ownerId };
    }
    case 'person.offboarded': {
      const { id, name, isDeleted } = message.person;
      return { person_id: id, name, deleted: isDeleted };
    }
    case 'task.ended': {
      const { id, rootId, agentId, requesterId, how } = message.task;
      return { task_id: id, root_id: rootId, agent_id: agentId, requester_id: requesterId, how };
    }
    default: {
      const { stepUp } = message;
      return {
        step_up_id: stepUp.id,
        state: stepUp.state,
        tool_server: stepUp.toolServer,
        tool: stepUp.tool,
        agent: stepUp.agent,
        requester: stepUp.requester,
        expires_at: stepUp.expiresAt.toISOString(),
        approval_url: stepUp.approvalUrl,
      };
    }
  }
}

function readAnswer({ status, headers }: SafeFetchResponse): Delivery {
  if (status >= 200 && status < 300) return { kind: 'sent' };
  const reason = `The receiver answered ${status}.`;
  if (status === GONE) return { kind: 'failed', reason: `${reason} It wants no more messages.` };
  const retryAfterMs = readRetryAfter(headers['retry-after'], new Date());
  return { kind: 'retry', reason, pauseMs: retryAfterMs ?? (OVERLOADED.includes(status) ? PAUSE_MS : null) };
}

/** Seconds or a date (RFC 9110 §10.2.3); null where neither. */
export function readRetryAfter(value: string | undefined, now: Date): number | null {
  if (value === undefined) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - now.getTime());
}

function readFailure(error: SafeFetchError): Delivery {
  switch (error.code) {
    case 'redirect_refused':
      return retry('The receiver answered with a redirect, which is not followed: configure where it leads to.');
    case 'address_refused':
      return retry(
        'The address of the receiver is not a public one. Add it to fetch_allowed_hosts if that is intended.',
      );
    case 'url_refused':
      return retry('The address of the receiver cannot be used.');
    // It has arrived: sending it again would repeat it with every attempt.
    case 'too_large':
    case 'encoding_refused':
      return { kind: 'failed', reason: 'The receiver answered with a large or compressed body; a status is enough.' };
    case 'timed_out':
      return retry('The receiver did not answer in time.');
    case 'failed':
      return retry('The receiver could not be reached, or closed the connection.');
  }
}

function retry(reason: string): Delivery {
  return { kind: 'retry', reason, pauseMs: PAUSE_MS };
}
