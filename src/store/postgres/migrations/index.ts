import type { SchemaMigrations } from '../schema_migration.ts';
import * as initial from './0001_initial.ts';
import * as manyNodes from './0002_many_nodes.ts';
import * as governedAgents from './0003_governed_agents.ts';
import * as delegationIndexes from './0004_delegation_indexes.ts';
import * as traceIndex from './0005_trace_index.ts';

/** Forward only, in order of their names; one that has shipped is never edited (README.md). */
export const migrations: SchemaMigrations = {
  '0001_initial': initial,
  '0002_many_nodes': manyNodes,
  '0003_governed_agents': governedAgents,
  '0004_delegation_indexes': delegationIndexes,
  '0005_trace_index': traceIndex,
};
