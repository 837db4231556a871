import {
  HELD_CALL_HEAP_BYTES_MAX,
  READY_AFTER_KILL_MS_MAX,
  REDEEM_RATIO_MIN,
  REVOCATION_P50_MS_MAX,
  REVOCATION_P99_MS_MAX,
} from './aims.ts';
import {
  APPROVED_FILES,
  CLICKS,
  DESCENDANTS,
  FAULT_ROUNDS,
  FIRST_STARTS,
  GUARDS,
  HELD_CALLS,
  KILLS,
  LATER_STARTS,
  MEMORY_ROUNDS,
  NODE_ROUNDS,
  OFFBOARDINGS,
  PENDING_STEP_UPS,
  REDEEM_ROUNDS,
  REVOCATIONS,
} from './limits.ts';
import type { SectionName } from './section_names.ts';
import { whole } from './table.ts';

/** What stands above and below each table of the document. */
export const ABOUT: Readonly<Record<SectionName, { title: string; measured: string; means: string }>> = {
  starts: {
    title: 'Start and memory at rest',
    measured: `From the command to the first 200 of the discovery document; the first time with a new PostgreSQL cluster (medians of
${FIRST_STARTS} and ${LATER_STARTS}). Memory is read from an idle server after a start.`,
    means: 'Most of a start is loading modules. A node of `countersign serve` has no PostgreSQL of its own to start.',
  },
  tokens: {
    title: 'Token issue',
    measured: `Client credentials with \`private_key_jwt\` (ES256), a new assertion for every request, for an RFC 9068 token signed with
ES256. The baseline is \`oidc-provider\` over the same adapter, stores and client look-up, without our hooks. Ours is a token
for a task: the task, its agent and person and the tool server are looked up, and the issue is in the audit log, on disk,
before the client has the token. Once with the embedded stores of \`countersign dev\`, once with \`countersign serve\` on a
PostgreSQL and a Redis, whose CPU time is counted for whoever is asked.`,
    means: `Whoever is below the aim pays for the commit on disk before the answer, and for reading what the token is for; the baseline
does neither. With several connections, commits are shared.`,
  },
  calls: {
    title: 'A permitted tool call',
    measured: `A permitted \`tools/call\` of class read, whose tool does nothing, on a server of MCP SDK v2. Through the guard or the gateway
every call is decided by the server, from PostgreSQL and Cedar, and the permit is in the audit log, on disk, before the
tool runs. The baseline is the same server without them; for the gateway before stdio it is the same server over its pipe,
which has no HTTP at all.`,
    means: `A decision costs what asking costs: one HTTP request to the server, its statements and one commit in PostgreSQL. Nothing is
decided from a cache, so an ended task, a revoked token or a changed policy holds from the next call on. With several
calls at once, their audit events share commits. The tool here does nothing, which makes the ratio the worst there is:
against a tool that takes 100 ms, read "added p50 ms" instead.`,
  },
  clicks: {
    title: 'Click to resumed call',
    measured: `From posting the approval form to the result at the agent whose call was held, ${CLICKS} times: decision, wake-up, second
evaluation, redemption, the tool, its outcome, each durable.`,
    means: 'A click resumes its call by a wake-up, not by a poll; people take longer to move the mouse.',
  },
  nodes: {
    title: 'One, two and four nodes',
    measured: `\`countersign serve\` once, twice and four times on one PostgreSQL with full durability and one Redis, 16 connections spread over
the nodes past any load balancer, ${NODE_ROUNDS} rounds. Every request is signed anew, as clients and guards do. Redemption uses ${APPROVED_FILES} grants
in turn that were approved by the page and then made good for many uses, so that it can be measured for long enough.`,
    means: `Nodes, PostgreSQL, Redis and the load generator share the two cores of this machine, so more nodes cannot serve more here, and these
rates say nothing about how nodes scale. Size by CPU time per request: rate times "CPU ms: nodes" is the cores that the
nodes need together, rate times "PostgreSQL" those of the database. Every node follows the log by itself, which is the
part that grows with their number.`,
  },
  redeem: {
    title: 'Redemption against the bare SQL',
    measured: `In one process with a pool of 16 on a PostgreSQL with full durability, ${REDEEM_ROUNDS} rounds: the conditional UPDATE that uses a grant once,
alone; the same with a redemption and an event row in one transaction; and \`redeem\`, which reads the chain, the grant and
its votes, asks the policy, and then locks, compares and writes everything in one statement. The sealer runs meanwhile.`,
    means: `The aim was ${REDEEM_RATIO_MIN} of the bare SQL. The UPDATE alone shows what an answer from one statement costs; a redemption that is recorded is
the second row, and what the audit itself costs is the difference between the first two. The rest of the third is
reading and deciding anew at redemption, which is what an approval is worth.`,
  },
  revocation: {
    title: 'Revocation to refusal',
    measured: `${GUARDS} guards of one tool server, each with a lease, memory and connections of its own, in one process, on two nodes; ${REVOCATIONS} times each
a token is revoked (\`POST /revoke\`) or its task ended, in turn. From the answer to that until each guard refuses: a
\`tools/call\` sent to all eight at once when the answer came, which the server is asked about; and a \`ping\`, which a guard
lets pass by the verdict it remembers until its lease tells it otherwise, asked every two milliseconds.`,
    means: `A \`tools/call\` never passes after the answer: what is measured there is how long eight questions at once take. A \`ping\` is
refused when the revocation has come by commit, sealing, wake-up, lease and its signature. The aim was ${REVOCATION_P50_MS_MAX} ms and ${REVOCATION_P99_MS_MAX} ms
for all eight; a lost wake-up costs a poll of half a second, and that is the worst without Redis as well.`,
  },
  offboard: {
    title: 'Offboarding an agent with a thousand descendants',
    measured: `${OFFBOARDINGS} agents in turn, each with ${whole(DESCENDANTS)} descendants (half sub-tasks, half hops to another agent), are offboarded by
\`POST /api/v1/agents/{id}/offboard\`: one transaction. Then as above, for a \`ping\` with a token of that agent at ${GUARDS} guards on two
nodes.`,
    means: `The transaction is a fixed number of statements; what grows is the rows that are written and the events that are sealed. Guards
are told of the agent by its own event, and refuse everything it acts in by that. The aim was ${REVOCATION_P99_MS_MAX} ms at p99 for each guard.`,
  },
  recovery: {
    title: 'Recovery',
    measured: `A node is killed (${KILLS} times) and started again at once. For the other faults two clients ask two nodes 20 times a second each,
whatever comes back, ${FAULT_ROUNDS} rounds: the longest time without a success, from before the fault until well after it, and the share
of requests that failed in all that time. Clients sign each request anew and do not try again. Their usual gap is 50 ms.`,
    means: `The aim was ${READY_AFTER_KILL_MS_MAX / 1000} s from kill -9 to ready, which is a start. When the memory of used proofs moves, as it does to
PostgreSQL when Redis is lost and back again once it answers, proofs from before the move are refused, because nobody
knows whether they were used; with Sentinel both moves fall into one round. Clients of ours make a new one and ask again,
and notice a delay where these clients count a failure. A client of tokens that goes on regardless may meet the limit of
failed requests on top (\`429 slow_down\`).`,
  },
  memory: {
    title: 'Memory',
    measured: `A node with ${whole(PENDING_STEP_UPS)} pending step-ups in PostgreSQL, then with ${whole(HELD_CALLS)} calls that wait at it for decisions by long-polls
of two guards, ${MEMORY_ROUNDS} rounds. Heap and resident memory, after garbage collection, per item; idle connections are weighed first,
and subtracted.`,
    means: `A step-up that nobody waits for is a row and costs a node nothing. The aim was ${HELD_CALL_HEAP_BYTES_MAX / 1024} KiB of heap per held call beyond its socket.
By heap snapshots, what a held call keeps is its request inside the chain of Koa: some eleven suspended functions, with
their contexts, closures and promises, make up most of it, and the headers about a tenth. Each held call also asks
PostgreSQL or Redis twice a second beside its wake-up. Resident memory also holds what the collector has not given back.`,
  },
};
