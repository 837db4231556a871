import { availableParallelism, cpus, loadavg } from 'node:os';
import { ABOUT } from './about_sections.ts';
import { MANY_CONNECTIONS, ROUNDS } from './limits.ts';
import { SECTION_NAMES, type SectionName } from './section_names.ts';

/** The page that keeps the last tables, each with what it measures and what that means. */
export function documentOf(tables: ReadonlyMap<SectionName, string>, now: Date): string {
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.versions.node}`;
  const sections = SECTION_NAMES.map((name) => {
    const { title, measured, means } = ABOUT[name];
    return `## ${title}\n\n${measured}\n\n${tables.get(name) ?? 'Not measured.'}\n\n${means}\n`;
  });
  return `# Benchmarks

Written by \`npm run bench\` on ${now.toISOString().slice(0, 10)}, ${machine}, everything on loopback. Compare ratios, which come from one run;
absolute figures depend on the machine and on what else it does: its load average was ${loadavg()[1]?.toFixed(1)} when it
ended (more than the number of cores means that processes waited for each other, and ratios are off as well).

Every system is a process of its own, and so is the load generator; nothing is pinned. Where systems are compared they take
turns after a warm-up, the order turned round every second time: the token endpoints and the tool calls in ${ROUNDS} rounds, first
with one connection, then with ${MANY_CONNECTIONS}. Each figure is the median over the rounds; each ratio is the median of the ratios within
a round. Quotas on step-ups are raised by configuration. "CPU ms" is CPU time per request of all processes that serve it;
other work on the machine raises it as well, but less than the times. \`npm run bench -- redeem memory\` measures these
sections alone and prints them, \`--quick\` only shows that everything runs.

${sections.join('\n')}`;
}
