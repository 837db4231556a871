import {
  HELD_CALL_HEAP_BYTES_MAX,
  READY_AFTER_KILL_MS_MAX,
  REDEEM_RATIO_MIN,
  REVOCATION_P50_MS_MAX,
  REVOCATION_P99_MS_MAX,
  REVOCATION_WITHOUT_REDIS_MS_MAX,
} from './aims.ts';
import { rateRatio, typical } from './figures.ts';
import type { MemoryFinding } from './held_calls.ts';
import type { NodesFinding } from './nodes.ts';
import type { OffboardFinding } from './offboard.ts';
import type { RecoveryFinding } from './recovery.ts';
import type { RedeemFinding } from './redeem.ts';
import type { RevocationFinding } from './revocation.ts';
import { milliseconds, orNothing, ratio, tableOf, verdict, whole } from './table.ts';

export function nodesTable(findings: readonly NodesFinding[]): string {
  const header = ['Request', 'nodes', '/s', 'p50 ms', 'p99 ms', 'CPU ms: nodes', 'PostgreSQL', 'Redis'];
  const whats = [...new Set(findings.map(({ what }) => what))];
  const rows = whats.flatMap((what) =>
    findings
      .filter((finding) => finding.what === what)
      .map(({ nodes, run, cpu }) => [
        ...[what, String(nodes), whole(run.perSecond), milliseconds(run.p50Ms), milliseconds(run.p99Ms)],
        ...[orNothing(cpu.nodes), orNothing(cpu.postgres), orNothing(cpu.redis)],
      ]),
  );
  return tableOf(header, rows);
}

export function redeemTable(findings: readonly RedeemFinding[]): string {
  const [alone, recorded] = findings;
  const header = [
    'What',
    'c=1 /s',
    'p50 ms',
    'to UPDATE',
    'to recorded',
    'c=16 /s',
    'p50 ms',
    'to UPDATE',
    'to recorded',
  ];
  const rows = findings.map((finding) => {
    const of = (kind: 'one' | 'many') => {
      const run = typical(finding[kind]);
      const against = (other: RedeemFinding | undefined) => ratio(rateRatio(finding[kind], other?.[kind] ?? []));
      return [whole(run.perSecond), milliseconds(run.p50Ms), against(alone), against(recorded)];
    };
    return [finding.name, ...of('one'), ...of('many')];
  });
  const ours = findings.at(-1);
  const reached = ours === undefined || recorded === undefined ? Number.NaN : rateRatio(ours.many, recorded.many);
  const bare = ours === undefined || alone === undefined ? Number.NaN : rateRatio(ours.many, alone.many);
  return `${tableOf(header, rows)}\n\nAim: at least ${REDEEM_RATIO_MIN} of the bare SQL at c=16. Against the UPDATE with its rows in one transaction ${ratio(reached)}: ${verdict(reached >= REDEEM_RATIO_MIN)}. Against the UPDATE alone ${ratio(bare)}: ${verdict(bare >= REDEEM_RATIO_MIN)}.`;
}

export function revocationTable(findings: readonly RevocationFinding[]): string {
  const header = ['What is refused', 'Redis', 'each p50 ms', 'each p99 ms', 'all eight p50 ms', 'all eight p99 ms'];
  const rows = findings.map(({ method, hasRedis, each, all }) => [
    method === 'ping' ? 'ping, answered from memory' : 'tools/call, the server is asked',
    hasRedis ? 'runs' : 'stopped',
    ...[each.p50Ms, each.p99Ms, all.p50Ms, all.p99Ms].map(milliseconds),
  ]);
  const isMet = findings.every(({ hasRedis, all }) =>
    hasRedis
      ? all.p50Ms <= REVOCATION_P50_MS_MAX && all.p99Ms <= REVOCATION_P99_MS_MAX
      : all.p99Ms <= REVOCATION_WITHOUT_REDIS_MS_MAX,
  );
  return `${tableOf(header, rows)}\n\nAim: at all eight within ${REVOCATION_P50_MS_MAX} ms at p50 and ${REVOCATION_P99_MS_MAX} ms at p99, within ${REVOCATION_WITHOUT_REDIS_MS_MAX} ms without Redis, for both: ${verdict(isMet)}.`;
}

export function offboardTable({ request, each, all }: OffboardFinding): string {
  const rows = [
    ['request to answer', ...[request.p50Ms, request.p99Ms].map(milliseconds)],
    ['answer to refusal, each guard', ...[each.p50Ms, each.p99Ms].map(milliseconds)],
    ['answer to refusal, the slowest of eight', ...[all.p50Ms, all.p99Ms].map(milliseconds)],
  ];
  const isMet = each.p99Ms <= REVOCATION_P99_MS_MAX;
  return `${tableOf(['Time', 'p50 ms', 'p99 ms'], rows)}\n\nAim: each guard within ${REVOCATION_P99_MS_MAX} ms at p99: ${verdict(isMet)}.`;
}

export function recoveryTable({ killToReadyMs, killToReadyWorstMs, gaps }: RecoveryFinding): string {
  const header = ['Fault', 'client', 'median ms', 'worst ms', 'after its end ms', 'failed', 'mostly with'];
  const rows = gaps.map(({ fault, client, gapMs, worstMs, afterMs, failedShare, failedWith }) => [
    ...[fault, client, whole(gapMs), whole(worstMs), afterMs === null ? '' : whole(afterMs)],
    ...[`${(failedShare * 100).toFixed(1)} %`, failedWith ?? ''],
  ]);
  rows.unshift(['Node killed (kill -9) and started: ready', '', whole(killToReadyMs), whole(killToReadyWorstMs)]);
  const isMet = killToReadyWorstMs <= READY_AFTER_KILL_MS_MAX;
  return `${tableOf(header, rows)}\n\nAim: ready within ${READY_AFTER_KILL_MS_MAX / 1000} s of kill -9, at worst: ${verdict(isMet)}.`;
}

export function memoryTable({ stepUps, perStepUp, held, perSocket, perHeld }: MemoryFinding): string {
  const header = ['Item', 'how many', 'heap bytes each', 'RSS bytes each'];
  const row = (what: string, count: number, weight: MemoryFinding['perHeld']) => [
    ...[what, whole(count), whole(weight.heapBytes), whole(weight.residentBytes)],
  ];
  const rows = [
    row('Pending step-up, nobody waits', stepUps, perStepUp),
    row('Idle connection', held, perSocket),
    row('Held call, beyond its connection', held, perHeld),
  ];
  const isMet = perHeld.heapBytes <= HELD_CALL_HEAP_BYTES_MAX;
  return `${tableOf(header, rows)}\n\nAim: at most ${HELD_CALL_HEAP_BYTES_MAX / 1024} KiB of heap per held call beyond its socket: ${verdict(isMet)}.`;
}
