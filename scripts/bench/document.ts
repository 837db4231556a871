import { availableParallelism, cpus, loadavg } from 'node:os';
import { CLICKS, FIRST_STARTS, LATER_STARTS, MANY_CONNECTIONS, ROUNDS } from './limits.ts';

/** The page that keeps the last table, with what it measures and how to read it. */
export function documentOf(table: string, now: Date): string {
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.versions.node}`;
  return `# Benchmarks

Written by \`npm run bench\` on ${now.toISOString().slice(0, 10)}, ${machine}, everything on loopback. Compare ratios, which come from one run;
absolute figures depend on the machine and on what else it does: its load average was ${loadavg()[1]?.toFixed(1)} when it
ended (more than the number of cores means that processes waited for each other, and ratios are off as well).

${table}

## What is measured

- **Token**: client credentials with \`private_key_jwt\` (ES256), a new assertion for every request, for an RFC 9068 token
  signed with ES256. The baseline is \`oidc-provider\` over the same adapter, stores and client look-up, without our hooks. Ours
  is a token for a task: the task, its agent and person and the tool server are looked up, and the issue is in the audit
  log, on disk, before the client has the token.
- **Call**: a permitted \`tools/call\` of class read, whose tool does nothing, on a server of MCP SDK v2. Through the guard or
  the gateway every call is decided by the server, from PostgreSQL and Cedar, and the permit is in the audit log, on disk,
  before the tool runs. The baseline is the same server without them; for the gateway before stdio it is the same server over
  its pipe, which has no HTTP at all.
- **Click to resumed call**: from posting the approval form to the result at the agent whose call was held, ${CLICKS} times:
  decision, wake-up, second evaluation, redemption, the tool, its outcome, each durable.
- **Start**: from the command to the first 200 of the discovery document; the first time with a new PostgreSQL cluster
  (medians of ${FIRST_STARTS} and ${LATER_STARTS}). **Memory** is read from an idle server after a start.

## How

Every system is a process of its own, and so is the load generator; nothing is pinned. After a warm-up the systems take turns
in ${ROUNDS} rounds, first with one connection, then with ${MANY_CONNECTIONS}, the order turned round every second time. Each figure is the
median over the rounds; each ratio is the median of the ratios within a round. Quotas on step-ups are raised by
configuration. "CPU ms" is the CPU time per request, with ${MANY_CONNECTIONS} connections, of all processes that serve it: server and
PostgreSQL, guard or gateway, tool server. Other work on the machine raises it as well, but less than the times.

## What it means

- A decision costs what asking costs: one HTTP request to the server, three statements and one commit in PostgreSQL. Nothing is
  decided from a cache, so an ended task, a revoked token or a changed policy holds from the next call on.
- With several calls at once, their audit events share commits; that is why the rate grows with connections although every
  event is on disk first.
- The tool here does nothing, which makes the ratio the worst there is. Against a tool that takes 100 ms, read "added
  p50 ms" instead.
- A click resumes its call by a wake-up, not by a poll; people take longer to move the mouse.
`;
}
