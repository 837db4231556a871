import { type DestinationStream, destination, type LevelWithSilent, pino, stdTimeFunctions } from 'pino';
import type { Logger } from './logger.ts';
import { redact, redactText } from './redact.ts';

export interface LogOptions {
  readonly level: LevelWithSilent;
  /** Which process wrote the line, for example `countersign` or `countersign-gateway`. */
  readonly name: string;
  /** Where lines go; standard error unless told, since standard output belongs to commands and to MCP over stdio. */
  readonly destination?: DestinationStream;
}

// What pino itself writes. A field of the same name would appear twice in the line, and readers would take either.
const OWN_NAMES = new Set(['level', 'time', 'name', 'msg']);
const STANDARD_ERROR = 2;

/** Writes one JSON object per line. Fields and messages pass `redact`, so a careless call leaks no token. */
export function createLogger(options: LogOptions): Logger {
  const log = pino(
    {
      level: options.level,
      base: { name: options.name },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? destination({ dest: STANDARD_ERROR, sync: true }),
  );
  const write = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    if (log.isLevelEnabled(level)) log[level](safeFields(fields), redactText(message));
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

function safeFields(fields: object): object {
  const safe = redact(fields instanceof Error ? { error: fields } : fields);
  if (typeof safe !== 'object' || safe === null || Array.isArray(safe)) return { fields: safe };
  return Object.fromEntries(
    Object.entries(safe).map(([name, value]) => [OWN_NAMES.has(name) ? `field_${name}` : name, value]),
  );
}
