import type { ConsentView } from '../../src/model/consent_view.ts';
import type { StepUpView } from '../../src/model/step_up_view.ts';

const NOW = Date.UTC(2026, 10, 23, 12, 0);
export const SAMPLE_NOW = new Date(NOW);
const DIGEST = 'Zr8mW0n5v3o0c2i6bS4m1Qy7tXg9pHkLsEwRjUaDfGh';

export function sampleStepUp(changes: Partial<StepUpView> = {}): StepUpView {
  return {
    id: 'stp_abcdefghijklmnopqrstuvwxyz',
    revision: 1,
    state: 'open',
    bindingDigest: DIGEST,
    actionDigest: DIGEST,
    viewDigest: DIGEST,
    requester: { id: 'prs_ada', name: 'Ada' },
    agent: { id: 'agt_notes', name: 'Notes agent', owner: 'Ada', clientId: 'https://notes.example/client.json' },
    chain: [{ agent: 'Notes agent', owner: 'Ada' }],
    conditions: [],
    task: {
      id: 'tsk_abcdefghijklmnopqrstuvwxyz',
      purpose: 'Tidy up the notes',
      purposeBy: 'person',
      startedAt: new Date(NOW - 600_000),
      expiresAt: new Date(NOW + 3_000_000),
    },
    toolServer: {
      id: 'tsv_files',
      name: 'files',
      resource: 'http://localhost:9410/mcp',
      deployment: '{"kind":"stdio","command":"npx","args":["server-filesystem","/notes"],"env_names":[]}',
    },
    tool: {
      name: 'write_file',
      risk: 'write',
      title: 'Write file',
      description: 'Creates or overwrites a file.',
      argumentNames: ['path', 'content'],
    },
    method: 'tools/call',
    arguments: { content: '# Plan\n- train\n', path: '/notes/plan.md' },
    inputResponses: null,
    facts: {},
    gates: [
      {
        name: 'gate:write#1',
        why: 'It changes files.',
        approvers: ['the person the agent works for', 'an administrator'],
        quorum: 1,
        approvedBy: [],
        isMet: false,
      },
    ],
    decisions: [],
    tier: 'standard',
    grantSeconds: 300,
    grantUses: 1,
    createdAt: new Date(NOW - 20_000),
    expiresAt: new Date(NOW + 600_000),
    decidedAt: null,
    reason: null,
    grant: null,
    outcome: null,
    earlier: null,
    viewer: { mayDecide: true, whyNot: null, needsPasskey: false, hasDecided: false },
    ...changes,
  };
}

export function sampleConsent(changes: Partial<ConsentView> = {}): ConsentView {
  return {
    uid: 'uid',
    client: { id: 'c', name: 'Notes agent', host: 'notes.example', redirectHost: '127.0.0.1:3334', isLoopback: true },
    toolServer: { id: 'tsv_files', name: 'files', resource: 'http://localhost:9410/mcp' },
    tools: [
      { name: 'read_file', title: null, description: 'Reads a file.', risk: 'read' },
      { name: 'write_file', title: null, description: 'Writes a file.', risk: 'write' },
    ],
    suggestedPurpose: 'Work with files',
    purposeCodes: [{ code: 'general', label: 'General work' }],
    durations: [900, 3600],
    said: null,
    budget: ['calls', 'step_ups', 'elevated_grants'].map((what) => ({ what, field: what, suggested: null })),
    durationDefault: 3600,
    person: { name: 'Ada' },
    csrf: 'token',
    ...changes,
  };
}
