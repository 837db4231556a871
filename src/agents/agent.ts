import type { Selectable } from 'kysely';
import type { AgentsTable } from '../store/postgres/tables.ts';

export type Agent = Selectable<AgentsTable>;
