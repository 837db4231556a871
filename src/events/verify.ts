import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Checkpoint } from './checkpoint.ts';
import { commitmentTo, type EventBody } from './event_body.ts';
import { type ExportLine, parseExportLine } from './export_line.ts';
import { KnownKeys } from './known_keys.ts';
import { appendLeaf, type Frontier, leafHash, rootOf } from './merkle.ts';

export interface LogSound {
  /** The position the export starts at; what came before was deleted, or left out. */
  readonly from: number;
  readonly size: number;
  /** base64 */
  readonly root: string;
  readonly checkpoints: number;
  /** Events whose personal part was erased; their commitments still stand. */
  readonly erased: number;
  /** The newest checkpoint. Keep it where the server's operators cannot change it, as the next trusted checkpoint. */
  readonly newestCheckpoint: string | null;
  /** Verifier keys that the log announces under a known one: those of its later checkpoints. */
  readonly announcedKeys: readonly string[];
}

export interface LogProblem {
  /** The first position that may be wrong; null when it is not about a position. */
  readonly position: number | null;
  /** What is wrong, in a sentence. */
  readonly problem: string;
}

export interface VerifyLogOptions {
  /**
   * The server's public verifier key, or several it had one after the other, got by another way than the export. One is enough:
   * an older one finds the newer ones announced, and what the newest signs covers what the older ones signed.
   */
  readonly verifierKey: string | readonly string[];
  /** A checkpoint kept from earlier. Without one, a log that lost its newest events still looks whole. */
  readonly trustedCheckpoint?: string;
}

/** A state the log is known to have had at some size, and the root that the export gives at that size, if it gets there. */
interface Anchor {
  readonly size: number;
  readonly root: Buffer;
  found: Buffer | null;
}

interface Progress {
  from: number;
  size: number;
  frontier: Frontier;
  /** The size of the last checkpoint that held: what comes before it is sound. */
  soundSize: number;
  header: Extract<ExportLine, { is: 'header' }> | null;
  checkpoints: number;
  erased: number;
  newestCheckpoint: string | null;
  /**
   * Checkpoints at the start that keys before the known ones signed: the first of a known key covers what they did. After
   * that none is passed over, since the log announces every key that follows.
   */
  passedOver: number;
  isKeyFound: boolean;
  readonly keys: KnownKeys;
  readonly trusted: Anchor | null;
  /** Where the export before this one ended. */
  readonly previous: Anchor | null;
}

export type ExportLines = AsyncIterable<string> | Iterable<string>;

/** Verifies an export of the log offline: every body, personal part, position, root and signature. */
export function verifyLog(lines: ExportLines, options: VerifyLogOptions): Promise<Result<LogSound, LogProblem>> {
  return verifyLogs([lines], options);
}

/**
 * Verifies exports as one log, the oldest first: each goes on from the one before or overlaps it, leaves nothing out, and holds
 * the same events where both have them.
 */
export async function verifyLogs(
  exports: readonly ExportLines[],
  options: VerifyLogOptions,
): Promise<Result<LogSound, LogProblem>> {
  const parsed = KnownKeys.parse([options.verifierKey].flat());
  if (!parsed.ok) return broken(null, `The key cannot be used: ${parsed.refusal}.`);
  const keys = parsed.value;
  let trusted: Checkpoint | null = null;
  if (options.trustedCheckpoint !== undefined) {
    const checkpoint = keys.verify(options.trustedCheckpoint) ?? refused(notSigned(keys));
    if (!checkpoint.ok) return broken(null, `The trusted checkpoint cannot be used: ${checkpoint.refusal}.`);
    trusted = checkpoint.value;
  }
  let whole: LogSound | null = null;
  let isHeld = false;
  for (const lines of exports) {
    const anchor = trusted === null ? null : { size: trusted.size, root: trusted.root, found: null };
    const part = await verifyExport(lines, keys, anchor, whole);
    if (!part.ok) return part;
    isHeld ||= part.value.isTrustedHeld;
    whole = whole === null ? part.value.sound : join(whole, part.value.sound);
  }
  if (whole === null) return broken(null, 'There is no export.');
  if (trusted === null || isHeld) return accepted(whole);
  const { from, size } = whole;
  if (trusted.size < from) {
    const problem =
      `The log starts at position ${from}, after the trusted checkpoint of size ${trusted.size}: name the export ` +
      'before it as well, which must hold what was deleted since.';
    return broken(from, problem);
  }
  const missing = trusted.size - size;
  const problem = `The log ends after ${size} events, but the trusted checkpoint covers ${trusted.size}: the last ${missing} are missing.`;
  return broken(size, problem);
}

function join(before: LogSound, after: LogSound): LogSound {
  const checkpoints = before.checkpoints + after.checkpoints;
  return { ...after, from: before.from, checkpoints, erased: before.erased + after.erased };
}

interface Part {
  readonly sound: LogSound;
  readonly isTrustedHeld: boolean;
}

async function verifyExport(
  lines: ExportLines,
  keys: KnownKeys,
  trusted: Anchor | null,
  before: LogSound | null,
): Promise<Result<Part, LogProblem>> {
  const progress: Progress = {
    from: 0,
    size: 0,
    frontier: [],
    soundSize: 0,
    header: null,
    checkpoints: 0,
    erased: 0,
    newestCheckpoint: null,
    passedOver: 0,
    isKeyFound: false,
    keys,
    trusted,
    previous: before === null ? null : { size: before.size, root: Buffer.from(before.root, 'base64'), found: null },
  };
  passAnchors(progress);
  for await (const text of lines) {
    if (text === '') continue;
    const line = parseExportLine(text);
    if (!line.ok) return broken(progress.size, `After ${progress.size} events, ${line.refusal}.`);
    const problem = take(progress, line.value);
    if (problem !== null) return refused(problem);
  }
  return conclude(progress);
}

function take(progress: Progress, line: ExportLine): LogProblem | null {
  if ((line.is === 'header') !== (progress.header === null)) {
    return { position: null, problem: 'The export does not start with its one header line.' };
  }
  switch (line.is) {
    case 'header':
      return takeHeader(progress, line);
    case 'start':
      return takeStart(progress, line);
    case 'event':
      return takeEvent(progress, line);
    case 'checkpoint':
      return takeCheckpoint(progress, line.note);
  }
}

function takeHeader(progress: Progress, header: Extract<ExportLine, { is: 'header' }>): LogProblem | null {
  progress.header = header;
  if (header.origin === progress.keys.name) return null;
  const problem = `The log is of ${header.origin}, but the key is of ${progress.keys.name}.`;
  return { position: null, problem };
}

function takeStart(progress: Progress, line: Extract<ExportLine, { is: 'start' }>): LogProblem | null {
  const state = readState(progress.keys, line);
  const isFirst = progress.size === 0 && progress.checkpoints === 0 && progress.from === 0;
  if (!isFirst || !state.ok) {
    const why = state.ok ? 'it does not follow the header' : state.refusal;
    return { position: null, problem: `The start of the export cannot be trusted: ${why}.` };
  }
  progress.from = line.size;
  progress.size = line.size;
  progress.soundSize = line.size;
  progress.frontier = state.value;
  progress.newestCheckpoint = line.note;
  progress.isKeyFound = true;
  passAnchors(progress);
  return null;
}

/** The hashes a log goes on from, if a checkpoint signs their root at their size. */
function readState(keys: KnownKeys, line: Extract<ExportLine, { is: 'start' }>): Result<Frontier, string> {
  const checkpoint = keys.verify(line.note) ?? refused(notSigned(keys));
  if (!checkpoint.ok) return checkpoint;
  const frontier = line.frontier.map((hash) => Buffer.from(hash, 'base64'));
  const { size, root } = checkpoint.value;
  // One perfect subtree for each one in the binary form of the size (RFC 6962 §2.1).
  const isWhole = frontier.length === size.toString(2).replaceAll('0', '').length;
  return size === line.size && isWhole && rootOf(frontier).equals(root)
    ? accepted(frontier)
    : refused('its checkpoint signs another state');
}

function passAnchors({ trusted, previous, size, frontier }: Progress): void {
  for (const anchor of [trusted, previous]) if (anchor?.size === size) anchor.found = rootOf(frontier);
}

function takeEvent(progress: Progress, event: Extract<ExportLine, { is: 'event' }>): LogProblem | null {
  const position = progress.size;
  if (event.position !== position) {
    const problem =
      event.position > position
        ? `Position ${position} is missing: the next event is at ${event.position}.`
        : `Position ${event.position} appears again, or out of order, where ${position} should be.`;
    return { position, problem };
  }
  if (sha256Base64url(event.body) !== event.digest) {
    return { position, problem: `Position ${position}: the event was changed; its body does not match its digest.` };
  }
  const body = parseBody(event.body);
  if (body === null) return { position, problem: `Position ${position}: the body is not an event.` };
  if (event.personal === null) {
    if (body.commitment !== null && position >= (progress.previous?.size ?? 0)) progress.erased += 1;
  } else if (commitmentTo(event.personal) !== body.commitment) {
    const problem = `Position ${position} (${body.kind}): the names or texts beside the event are not those it committed to.`;
    return { position, problem };
  }
  progress.keys.note(body);
  progress.frontier = appendLeaf(progress.frontier, position, leafHash(event.body));
  progress.size += 1;
  passAnchors(progress);
  return null;
}

function takeCheckpoint(progress: Progress, note: string): LogProblem | null {
  const known = progress.keys.verify(note);
  if (known === null && !progress.isKeyFound) {
    progress.passedOver += 1;
    return null;
  }
  const checkpoint = known ?? refused(notSigned(progress.keys));
  if (!checkpoint.ok) {
    const problem = `The checkpoint after ${progress.size} events cannot be trusted: ${checkpoint.refusal}.`;
    return { position: progress.soundSize, problem };
  }
  if (checkpoint.value.size > progress.size) {
    const problem = `Position ${progress.size} is missing: a checkpoint of size ${checkpoint.value.size} follows there.`;
    return { position: progress.size, problem };
  }
  if (
    checkpoint.value.size < progress.size ||
    (progress.newestCheckpoint !== null && progress.size === progress.soundSize)
  ) {
    const problem = `A checkpoint of size ${checkpoint.value.size} stands after ${progress.size} events: lines were added or moved.`;
    return { position: progress.soundSize, problem };
  }
  if (!rootOf(progress.frontier).equals(checkpoint.value.root)) {
    const { soundSize, size } = progress;
    const problem =
      `Positions ${soundSize} to ${size - 1} do not give the root that the checkpoint of size ${size} signs: ` +
      'an event there was changed, removed, added or moved.';
    return { position: soundSize, problem };
  }
  progress.soundSize = progress.size;
  if (progress.size > (progress.previous?.size ?? 0)) progress.checkpoints += 1;
  progress.newestCheckpoint = note;
  progress.isKeyFound = true;
  progress.keys.confirm();
  return null;
}

function conclude(progress: Progress): Result<Part, LogProblem> {
  const { from, size, header, trusted, soundSize } = progress;
  if (header === null) return broken(null, 'The export is empty.');
  if (trusted !== null && trusted.found !== null && !trusted.found.equals(trusted.root)) {
    const problem =
      `The first ${trusted.size} events are not those that the trusted checkpoint signs, although the checkpoints of ` +
      'the export fit them: the log was rewritten and signed anew.';
    return broken(0, problem);
  }
  if (size !== header.size) {
    return broken(
      size,
      `The export ends after ${size} events, but announces ${header.size}: it was cut off, or events were added or removed.`,
    );
  }
  if (soundSize !== size) {
    return broken(soundSize, `No checkpoint covers positions ${soundSize} to ${size - 1}: ${whyNot(progress)}.`);
  }
  const gap = findGap(progress);
  if (gap !== null) return refused(gap);
  const sound = {
    from,
    size,
    root: rootOf(progress.frontier).toString('base64'),
    checkpoints: progress.checkpoints,
    erased: progress.erased,
    newestCheckpoint: progress.newestCheckpoint,
    announcedKeys: [...progress.keys.announced],
  };
  return accepted({ sound, isTrustedHeld: trusted?.found != null });
}

function whyNot({ passedOver, isKeyFound, keys }: Progress): string {
  return isKeyFound || passedOver === 0 ? 'they are not signed' : notSigned(keys);
}

function notSigned({ name }: KnownKeys): string {
  return (
    `it is not signed by the key of ${name} that was given. If that key was replaced because it leaked, ask the operator ` +
    'for the new one'
  );
}

/** What is wrong between the export before and this one. */
function findGap({ previous, from, size }: Progress): LogProblem | null {
  if (previous === null) return null;
  if (previous.size < from) {
    const problem = `Positions ${previous.size} to ${from - 1} are missing: one export ends and the next starts there.`;
    return { position: previous.size, problem };
  }
  if (previous.found === null) {
    const problem = `An export ends after ${size} events, but the one named before it after ${previous.size}: name the oldest first.`;
    return { position: null, problem };
  }
  if (previous.found.equals(previous.root)) return null;
  const problem = `The first ${previous.size} events are not those of the export before: one of them is of a log that was rewritten.`;
  return { position: null, problem };
}

function parseBody(text: string): EventBody | null {
  try {
    const body = JSON.parse(text) as Partial<EventBody> | null;
    return typeof body?.kind === 'string' && body.commitment !== undefined ? (body as EventBody) : null;
  } catch {
    return null;
  }
}

function broken(position: number | null, problem: string): Result<never, LogProblem> {
  return refused({ position, problem });
}
