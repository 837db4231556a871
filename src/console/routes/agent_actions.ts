import { approveAgent, refuseAgent } from '../../agents/approve.ts';
import { approveChange, changeAgent, refuseChange } from '../../agents/change.ts';
import { areKeysOverdue } from '../../agents/deadlines.ts';
import { approvePeer, PEER_DIRECTIONS, type PeerDirection } from '../../agents/peers.ts';
import { type Agent, findAgent } from '../../agents/registry.ts';
import { replaceAgentKeys } from '../../agents/replace_keys.ts';
import { reviewAgent } from '../../agents/review.ts';
import { termsOf } from '../../agents/terms.ts';
import { transferAgent } from '../../agents/transfer.ts';
import { addWorkload, removeWorkload } from '../../agents/workloads.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Acting } from '../../model/acting.ts';
import type { WorkloadIssuer } from '../../model/federation.ts';
import type { Store } from '../../store/store.ts';
import { offboardAgent } from '../../tasks/revoke/offboard_agent.ts';
import { removePeer } from '../../tasks/revoke/remove_peer.ts';
import { resumeAgent } from '../../tasks/revoke/resume_agent.ts';
import { suspendAgent } from '../../tasks/revoke/suspend_agent.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { readClaims, readKeySet, readSelection, readTerms } from '../agent_form.ts';
import { AGENT_PURPOSE, mayLookAt } from '../agent_view.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import type { Form } from '../form.ts';
import { agentEndedPage } from '../pages/agent_ended_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

/** One posted form on the page of an agent that its reader may look at; the use cases decide what they may do. */
interface Posted {
  readonly store: Store;
  readonly agent: Agent;
  readonly agentId: string;
  readonly by: Acting & { readonly kind: 'person' };
  readonly form: Form;
  readonly platforms: readonly WorkloadIssuer[];
  readonly reason: string;
}

type Act = (posted: Posted) => Promise<Result<unknown, Refusal>>;

const ACTIONS: Readonly<Record<string, Act>> = {
  approve: ({ store, agentId, by }) => approveAgent(store, { agentId, by: by.id }),
  refuse: ({ store, agentId, by, reason }) => refuseAgent(store, { agentId, by, reason }),
  change,
  'change/approve': ({ store, agentId, by, form }) =>
    approveChange(store, { agentId, by: by.id, changeId: form.get('change') ?? '' }),
  'change/refuse': ({ store, agentId, by, form }) =>
    refuseChange(store, { agentId, by, changeId: form.get('change') ?? '' }),
  transfer,
  keys,
  review,
  peers: ({ store, agentId, by, form }) =>
    withDirection(form, (direction) =>
      approvePeer(store, { agentId, direction, peerId: (form.get('peer') ?? '').trim(), by: by.id }),
    ),
  'peers/remove': ({ store, agentId, by, form }) =>
    withDirection(form, (direction) => removePeer(store, { agentId, direction, peerId: form.get('peer') ?? '', by })),
  workloads,
  'workloads/remove': ({ store, agentId, by, form }) =>
    removeWorkload(store, { agentId, workloadId: form.get('workload') ?? '', by }),
  resume,
};

export function addAgentActions(at: Entrances): void {
  for (const [name, act] of Object.entries(ACTIONS)) {
    at.postPerson(`/agents/:id/${name}`, AGENT_PURPOSE, async (visit, form) => {
      const posted = await readPosted(visit, form);
      if (!posted.ok) return refuseWith(posted.refusal, '/agents');
      const page = `/agents/${posted.value.agentId}`;
      const done = await act(posted.value);
      return done.ok ? goTo(page) : refuseWith(done.refusal, page);
    });
  }
  at.postPerson('/agents/:id/suspend', AGENT_PURPOSE, (visit, form) => stop(visit, form, 'suspended'));
  at.postPerson('/agents/:id/offboard', AGENT_PURPOSE, (visit, form) => stop(visit, form, 'offboarded'));
}

async function readPosted(visit: PersonalVisit, form: Form): Promise<Result<Posted, Refusal>> {
  const { store, signedIn, platforms = [] } = visit;
  const agent = await findAgent(store, visit.params.id ?? '');
  if (agent === undefined || !mayLookAt(visit, agent)) {
    return refused(refusal('not_found', 'There is no such agent, or it is not yours.'));
  }
  const by = { kind: 'person', id: signedIn.person.id } as const;
  return accepted({ store, agent, agentId: agent.id, by, form, platforms, reason: (form.get('reason') ?? '').trim() });
}

async function change({ store, agent, agentId, by, form }: Posted): Promise<Result<unknown, Refusal>> {
  const terms = readTerms(form, termsOf(agent));
  return terms.ok ? changeAgent(store, { agentId, by, terms: terms.value }) : terms;
}

async function transfer({ store, agentId, by, form }: Posted): Promise<Result<unknown, Refusal>> {
  const [owner, deputy] = [form.get('owner') ?? '', form.get('deputy') ?? ''];
  return transferAgent(store, {
    agentId,
    by,
    ...(owner === '' ? {} : { ownerId: owner }),
    ...(deputy === '' ? {} : { deputyId: deputy }),
  });
}

async function keys({ store, agentId, by, form }: Posted): Promise<Result<unknown, Refusal>> {
  const read = readKeySet(form);
  return read.ok ? replaceAgentKeys(store, { agentId, by, keys: read.value }) : read;
}

async function review({ store, agentId, by, form }: Posted): Promise<Result<unknown, Refusal>> {
  const remove = readSelection(form, 'remove');
  if (!remove.ok) return remove;
  const limitTo = readSelection(form, 'limit_to');
  if (!limitTo.ok) return limitTo;
  return reviewAgent(store, {
    agentId,
    by: by.id,
    ...(remove.value === undefined ? {} : { remove: remove.value }),
    ...(limitTo.value === undefined ? {} : { limitTo: limitTo.value }),
  });
}

async function workloads({ store, agentId, by, form, platforms }: Posted): Promise<Result<unknown, Refusal>> {
  const claims = readClaims(form, 'claims');
  if (!claims.ok) return claims;
  const [issuer, subject] = [form.get('issuer') ?? '', (form.get('subject') ?? '').trim()];
  return addWorkload(store, platforms, { agentId, issuer, subject, claims: claims.value, by });
}

async function withDirection(
  form: Form,
  work: (direction: PeerDirection) => Promise<Result<unknown, Refusal>>,
): Promise<Result<unknown, Refusal>> {
  const direction = PEER_DIRECTIONS.find((one) => one === form.get('direction'));
  return direction === undefined
    ? refused(refusal('request_invalid', 'Say whether it may hand work on to the other agent, or take work from it.'))
    : work(direction);
}

async function resume({ store, agent, agentId, by, reason }: Posted): Promise<Result<unknown, Refusal>> {
  if (areKeysOverdue(agent, new Date())) {
    return refused(refusal('conflict', 'The time for changing its keys is over. Replace its keys first.'));
  }
  return resumeAgent(store, { agentId, by, reason });
}

async function stop(visit: PersonalVisit, form: Form, how: 'suspended' | 'offboarded'): Promise<Answer> {
  const posted = await readPosted(visit, form);
  if (!posted.ok) return refuseWith(posted.refusal, '/agents');
  const { store, agent, agentId, by, reason } = posted.value;
  const page = `/agents/${agentId}`;
  if (how === 'offboarded' && form.get('is_sure') !== 'yes') {
    return refuseWith(refusal('request_invalid', 'Say that you know that this cannot be undone.'), page);
  }
  const end = how === 'suspended' ? suspendAgent : offboardAgent;
  const ended = await end(store, { agentId, by, reason });
  return ended.ok
    ? showPage(agentEndedPage({ id: agentId, name: agent.name, how, ended: ended.value }))
    : refuseWith(ended.refusal, page);
}
