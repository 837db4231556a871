import type { Migration } from 'kysely/migration';
import * as initial from './0001_initial.ts';

/** Forward only, in order of their names; one that has shipped is never edited. */
export const migrations: Record<string, Migration> = {
  '0001_initial': initial,
};
