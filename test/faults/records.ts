import { readFileSync } from 'node:fs';
import pg from 'pg';
import { ADMINISTRATOR, clusterPaths, prepareSocket } from '../../src/store/postgres/embedded/cluster.ts';
import { recordedPostmaster } from '../../src/store/postgres/embedded/postmaster.ts';
import { SOCKET_PORT } from '../../src/store/postgres/embedded/settings.ts';

/** What PostgreSQL holds of one step-up: the truth, whatever the processes say. */
export interface StepUpRecord {
  readonly state: string;
  readonly decisions: number;
  readonly grants: number;
  readonly uses: number;
  readonly redemptions: number;
  readonly outcome: string | null;
  /** Whether somebody reported the outcome; "unknown" may also mean that nobody has yet. */
  readonly isReported: boolean;
}

/** Asks the embedded PostgreSQL of a data directory directly. */
export async function query<Row extends pg.QueryResultRow>(
  dataDirectory: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const paths = clusterPaths(dataDirectory);
  const { directory } = await prepareSocket(paths, undefined);
  const client = new pg.Client({
    host: directory,
    port: SOCKET_PORT,
    user: ADMINISTRATOR,
    password: readFileSync(paths.password, 'utf8').trim(),
    database: 'countersign',
  });
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

export async function readRecord(dataDirectory: string, stepUpId: string): Promise<StepUpRecord> {
  const [row] = await query<StepUpRecord>(
    dataDirectory,
    `select s.state,
       (select count(*)::int from decisions d where d.step_up_id = s.id) as decisions,
       (select count(*)::int from grants g where g.step_up_id = s.id) as grants,
       (select coalesce(sum(g.uses), 0)::int from grants g where g.step_up_id = s.id) as uses,
       (select count(*)::int from redemptions r where r.step_up_id = s.id) as redemptions,
       (select max(r.outcome) from redemptions r where r.step_up_id = s.id) as outcome,
       coalesce((select bool_and(r.outcome_at is not null) from redemptions r where r.step_up_id = s.id), false)
         as "isReported"
     from step_ups s where s.id = $1`,
    [stepUpId],
  );
  if (row === undefined) throw new Error(`There is no step-up ${stepUpId}.`);
  return row;
}

/** The main process of the PostgreSQL of a data directory. */
export function postmasterOf(dataDirectory: string): number {
  const pid = recordedPostmaster(clusterPaths(dataDirectory).cluster);
  if (pid === undefined) throw new Error(`No PostgreSQL runs in ${dataDirectory}.`);
  return pid;
}

/** The postmaster and every process it started. */
export function postgresProcesses(dataDirectory: string): number[] {
  const postmaster = postmasterOf(dataDirectory);
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8').trim();
  return [
    postmaster,
    ...children
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  ];
}
