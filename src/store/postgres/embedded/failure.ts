import { QUOTED_LINES_MAX } from './limits.ts';

export type EmbeddedPostgresFailure =
  | 'platform_unsupported'
  | 'binaries_missing'
  | 'user_missing'
  | 'directory_unusable'
  | 'directory_in_use'
  | 'disk_full'
  | 'start_failed';

/** The embedded database cannot run. The message says what happened and what to do; it is meant for the operator. */
export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresFailure;

  constructor(code: EmbeddedPostgresFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
    this.code = code;
  }
}

interface KnownCause {
  readonly pattern: RegExp;
  readonly code: EmbeddedPostgresFailure;
  readonly next: string;
}

// PostgreSQL says these only in prose, in English because LC_ALL=C is set for it.
const KNOWN_CAUSES: readonly KnownCause[] = [
  {
    pattern: /No space left on device|Check free disk space|ENOSPC|Disk quota exceeded|EDQUOT/,
    code: 'disk_full',
    next: 'The disk is full. Free some space and start again; nothing that was acknowledged is lost.',
  },
  {
    pattern: /database files are incompatible with server/,
    code: 'start_failed',
    next: 'The data was written by another major version of PostgreSQL. Start the Countersign release that wrote it.',
  },
  {
    pattern: /error while loading shared libraries|Library not loaded|ENOENT/,
    code: 'binaries_missing',
    next:
      'The bundled PostgreSQL cannot run. If npm ran with --ignore-scripts, run `npm rebuild`, which links its libraries. ' +
      'A system without glibc (Alpine) cannot run it at all: set `database.url` to a PostgreSQL server there.',
  },
  {
    pattern: /EEXIST|ENOTDIR/,
    code: 'directory_unusable',
    next: 'A file is in the way. Choose another data directory with --data-dir.',
  },
  {
    pattern: /Permission denied|EACCES|EPERM|Operation not permitted|EROFS|Read-only file system/,
    code: 'directory_unusable',
    next: 'Give the user that runs Countersign the data directory (chown), or choose another with --data-dir.',
  },
];

/** Wraps what a PostgreSQL program or a file operation said in an error that tells the operator what to do. */
export function explainFailure(what: string, output: string, cause?: unknown): EmbeddedPostgresError {
  const known = KNOWN_CAUSES.find(({ pattern }) => pattern.test(output));
  const next = known?.next ?? 'The text above is what PostgreSQL reported.';
  return new EmbeddedPostgresError(known?.code ?? 'start_failed', `${what}:\n${essence(output)}\n${next}`, { cause });
}

/** The lines that tell what went wrong, without the progress report of initdb around them. */
function essence(output: string): string {
  const lines = output.trim().split('\n');
  const telling = lines.filter((line) => /error|fatal|panic|hint|detail|could not|cannot/i.test(line));
  return (telling.length > 0 ? telling : lines).slice(-QUOTED_LINES_MAX).join('\n');
}
