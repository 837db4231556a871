import { randomBytes } from 'node:crypto';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from 'jose';
import { PolicyBook } from '../../src/agents/policy_book.ts';
import { findToolServer, type ToolServer } from '../../src/agents/tool_servers.ts';
import { decide } from '../../src/approvals/decide.ts';
import { issueDecisionToken } from '../../src/approvals/decision_token.ts';
import { openStepUp } from '../../src/approvals/open.ts';
import { viewStepUp } from '../../src/approvals/view.ts';
import { newId, newSecret } from '../../src/kernel/ids.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { BudgetLine } from '../../src/model/budget.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { loadPolicySet } from '../../src/policy/policy_set.ts';
import { readPolicyFolder } from '../../src/policy/read_folder.ts';
import type { Store } from '../../src/store/store.ts';
import { authorizeCall } from '../../src/tasks/authorize_call.ts';
import { redeem } from '../../src/tasks/redeem.ts';
import { startTask } from '../../src/tasks/start.ts';
import { actionDigest } from '../../src/wire/action_digest.ts';
import type { AccessTokenClaims } from '../../src/wire/claims.ts';
import type { EvaluateAnswer } from '../../src/wire/guard_api.ts';
import { manifestDigest, type RiskClass, type ToolDefinition } from '../../src/wire/manifest.ts';
import { signTxnChallenge } from '../../src/wire/txn_challenge_rosomakho_00.ts';

const text = { type: 'string' } as const;
const object = (properties: JsonObject): JsonObject => ({ type: 'object', properties });

/** The tools of the scenario's server: one of each class. */
export const TOOLS: readonly { definition: ToolDefinition; risk: RiskClass }[] = [
  { definition: { name: 'read_file', inputSchema: object({ path: text }) }, risk: 'read' },
  { definition: { name: 'write_file', inputSchema: object({ path: text, content: text }) }, risk: 'write' },
  { definition: { name: 'erase_disk', inputSchema: object({ disk: text }) }, risk: 'critical' },
];

/**
 * People, an accepted tool server, an agent and its task in a real database, with the steps of a gated call as
 * functions. `requester` owns the agent and the task runs for them; `administrator` is somebody else.
 */
export class Scenario {
  readonly store: Store;
  readonly book: PolicyBook;
  server!: ToolServer;
  claims!: AccessTokenClaims;
  requester!: SignedIn;
  administrator!: SignedIn;
  readonly guardInstance = newId('gin');
  #guardKey!: { privateKey: CryptoKey; jwk: JWK };

  private constructor(store: Store, book: PolicyBook) {
    this.store = store;
    this.book = book;
  }

  static async create(store: Store, policies = 'config/policies'): Promise<Scenario> {
    const files = await readPolicyFolder(policies);
    const set = files.ok ? loadPolicySet(files.value) : files;
    if (!set.ok) throw new Error(JSON.stringify(set.refusal));
    const scenario = new Scenario(store, new PolicyBook(set.value));
    scenario.requester = await scenario.addPerson('Ada', false);
    scenario.administrator = await scenario.addPerson('Grace', true);
    await scenario.#addServer();
    await scenario.startTask();
    return scenario;
  }

  /** Gives up the server's name and address, so that the next scenario in this database can have them. */
  async freeNames(): Promise<void> {
    const { id } = this.server;
    await this.store.db
      .updateTable('tool_servers')
      .set({ name: id, resource: `http://localhost/${id}` })
      .where('id', '=', id)
      .execute();
  }

  async addPerson(name: string, isAdministrator: boolean): Promise<SignedIn> {
    const id = newId('prs');
    await this.store.db
      .insertInto('people')
      .values({
        id,
        display_name: name,
        state: 'active',
        is_administrator: isAdministrator,
        user_handle: randomBytes(64),
      })
      .execute();
    return {
      sessionIdHash: newSecret(),
      person: { id, displayName: name, isAdministrator },
      amr: ['link'],
      authenticatedAt: new Date(),
    };
  }

  async #addServer(): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const jwk = { ...(await exportJWK(publicKey)), kid: 'guard', alg: 'ES256' };
    this.#guardKey = { privateKey, jwk };
    const id = newId('tsv');
    const row = {
      id,
      name: 'files',
      resource: 'http://localhost:9500/mcp',
      state: 'active' as const,
      deployment: '{"kind":"in_process"}',
      client_id: `guard-${id}`,
      registration_nonce: newSecret(),
      key_thumbprint: 'x',
      owner_id: this.administrator.person.id,
      accepted_at: new Date(),
    };
    await this.store.db.insertInto('tool_servers').values(row).execute();
    await this.store.db
      .insertInto('tools')
      .values(
        TOOLS.map(({ definition, risk }) => ({
          tool_server_id: id,
          name: definition.name,
          state: 'accepted' as const,
          definition: JSON.stringify(definition),
          digest: manifestDigest(definition),
          risk,
          proposed_definition: null,
          proposed_digest: null,
          proposed_risk: null,
        })),
      )
      .execute();
    this.server = (await findToolServer(this.store, id))!;
  }

  /** A new agent of the requester with a task of its own; the scenario's claims are its token's from now on. */
  async startTask(
    tools = TOOLS.map((tool) => tool.definition.name),
    seconds = 3600,
    budget: readonly BudgetLine[] = [],
  ): Promise<string> {
    const agentId = newId('agt');
    await this.store.db
      .insertInto('agents')
      .values({
        id: agentId,
        kind: 'service',
        client_id: agentId,
        person_id: null,
        owner_id: this.requester.person.id,
        name: 'Notes agent',
        purpose: 'Keeps notes.',
        state: 'active',
        bound: null,
      })
      .execute();
    const started = await startTask(this.store, {
      requesterId: this.requester.person.id,
      agentId,
      clientId: agentId,
      purpose: 'Tidy up the notes',
      purposeCode: '',
      tools: { [this.server.id]: tools },
      seconds,
      budget,
      oauthGrantId: null,
    });
    if (!started.ok) throw new Error(started.refusal.message);
    const iat = Math.floor(Date.now() / 1000);
    this.claims = {
      iss: this.store.issuer,
      sub: this.requester.person.id,
      aud: this.server.resource,
      client_id: agentId,
      iat,
      exp: iat + 300,
      jti: newSecret(),
      scope: 'mcp:tools',
      task: { id: started.value.taskId, root: started.value.taskId },
      act: { sub: agentId, client_id: agentId },
    };
    return started.value.taskId;
  }

  describe(name: string, args: JsonObject) {
    const tool = TOOLS.find((one) => one.definition.name === name);
    const action = {
      method: 'tools/call' as const,
      name,
      manifest_digest: tool === undefined ? null : manifestDigest(tool.definition),
      arguments: args,
      input_responses: null,
      facts: {},
    };
    const digest = actionDigest({
      ...action,
      issuer: this.store.issuer,
      resource: this.server.resource,
      deployment: this.server.deployment,
    });
    return { ...action, action_digest: digest };
  }

  evaluate(name: string, args: JsonObject): Promise<EvaluateAnswer> {
    return authorizeCall(this.store, this.book, {
      server: this.server,
      claims: this.claims,
      action: this.describe(name, args),
      guardInstance: this.guardInstance,
    });
  }

  /** Evaluates and opens; returns the id of the open step-up. */
  async ask(name: string, args: JsonObject): Promise<string> {
    const answer = await this.evaluate(name, args);
    if (answer.decision !== 'step_up') throw new Error(`expected a step-up: ${JSON.stringify(answer)}`);
    if (answer.txn !== null) {
      const opened = await this.open(
        answer.step_up.step_up_id,
        answer.txn,
        this.describe(name, args).action_digest,
        name,
      );
      if (!opened.ok) throw new Error(opened.refusal.message);
    }
    return answer.step_up.step_up_id;
  }

  async open(stepUpId: string, txn: string, digest: string, tool: string) {
    const challenge = await signTxnChallenge(
      {
        iss: this.server.resource,
        aud: this.store.issuer,
        jti: newSecret(),
        txn,
        authorization_details: [{ type: 'mcp_tool_call', resource: this.server.resource, tool, action_digest: digest }],
        reason: 'A person must approve this call.',
      },
      { key: this.#guardKey.privateKey, kid: 'guard', now: new Date(), lifetimeSeconds: 300 },
    );
    return openStepUp(this.store, {
      stepUpId,
      toolServer: this.server,
      challenge,
      guardKeys: [this.#guardKey.jwk],
    });
  }

  async decide(
    stepUpId: string,
    signedIn: SignedIn,
    decision: 'approve' | 'deny',
    more: { reason?: string; confirmation?: { amr: string[] } | null; token?: string; shownSecondsAgo?: number } = {},
  ) {
    const view = await viewStepUp(this.store, { stepUpId, personId: signedIn.person.id });
    const now = new Date(Date.now() - (more.shownSecondsAgo ?? 0) * 1000);
    const token =
      more.token ??
      (view.ok ? issueDecisionToken(this.store, { sessionIdHash: signedIn.sessionIdHash, view: view.value, now }) : '');
    return decide(this.store, {
      stepUpId,
      signedIn,
      decision,
      reason: more.reason ?? null,
      token,
      confirmation: more.confirmation === undefined ? { amr: ['hwk', 'user'] } : more.confirmation,
    });
  }

  redeem(name: string, args: JsonObject, attemptId = newId('att'), guardInstance = this.guardInstance) {
    return redeem(this.store, this.book, {
      server: this.server,
      claims: this.claims,
      action: this.describe(name, args),
      attemptId,
      guardInstance,
    });
  }

  async events(kind: string): Promise<JsonObject[]> {
    const rows = await this.store.db
      .selectFrom('events')
      .select('body')
      .where('kind', '=', kind)
      .orderBy('id')
      .execute();
    return rows.map((row) => JSON.parse(row.body) as JsonObject);
  }
}
