import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Checkpoint, verifyCheckpoint } from './checkpoint.ts';
import { commitmentTo, type EventBody } from './event_body.ts';
import { type ExportLine, parseExportLine } from './export_line.ts';
import { appendLeaf, type Frontier, leafHash, rootOf } from './merkle.ts';
import { type NoteVerifier, parseVerifierKey } from './signed_note.ts';

export interface LogSound {
  readonly size: number;
  /** base64 */
  readonly root: string;
  readonly checkpoints: number;
  /** Events whose personal part was erased; their commitments still stand. */
  readonly erased: number;
  /** The newest checkpoint. Keep it where the server's operators cannot change it, as the next trusted checkpoint. */
  readonly newestCheckpoint: string | null;
}

export interface LogProblem {
  /** The first position that may be wrong; null when it is not about a position. */
  readonly position: number | null;
  /** What is wrong, in a sentence. */
  readonly problem: string;
}

export interface VerifyLogOptions {
  /** The server's public verifier key, got by another way than the export. */
  readonly verifierKey: string;
  /** A checkpoint kept from earlier. Without one, a log that lost its newest events still looks whole. */
  readonly trustedCheckpoint?: string;
}

interface Progress {
  size: number;
  frontier: Frontier;
  /** The size of the last checkpoint that held: what comes before it is sound. */
  soundSize: number;
  header: Extract<ExportLine, { is: 'header' }> | null;
  checkpoints: number;
  erased: number;
  newestCheckpoint: string | null;
  readonly verifier: NoteVerifier;
  readonly trusted: Checkpoint | null;
  rootAtTrusted: Buffer;
}

/** Verifies an export of the log offline: every body, personal part, position, root and signature. */
export async function verifyLog(
  lines: AsyncIterable<string> | Iterable<string>,
  options: VerifyLogOptions,
): Promise<Result<LogSound, LogProblem>> {
  const verifier = parseVerifierKey(options.verifierKey);
  if (!verifier.ok) return broken(null, `The key cannot be used: ${verifier.refusal}.`);
  let trusted: Checkpoint | null = null;
  if (options.trustedCheckpoint !== undefined) {
    const checkpoint = verifyCheckpoint(verifier.value, options.trustedCheckpoint);
    if (!checkpoint.ok) return broken(null, `The trusted checkpoint cannot be used: ${checkpoint.refusal}.`);
    trusted = checkpoint.value;
  }
  const progress: Progress = {
    size: 0,
    frontier: [],
    soundSize: 0,
    header: null,
    checkpoints: 0,
    erased: 0,
    newestCheckpoint: null,
    verifier: verifier.value,
    trusted,
    rootAtTrusted: rootOf([]),
  };
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
    case 'event':
      return takeEvent(progress, line);
    case 'checkpoint':
      return takeCheckpoint(progress, line.note);
  }
}

function takeHeader(progress: Progress, header: Extract<ExportLine, { is: 'header' }>): LogProblem | null {
  progress.header = header;
  if (header.origin === progress.verifier.name) return null;
  const problem = `The log is of ${header.origin}, but the key is of ${progress.verifier.name}.`;
  return { position: null, problem };
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
    if (body.commitment !== null) progress.erased += 1;
  } else if (commitmentTo(event.personal) !== body.commitment) {
    const problem = `Position ${position} (${body.kind}): the names or texts beside the event are not those it committed to.`;
    return { position, problem };
  }
  progress.frontier = appendLeaf(progress.frontier, position, leafHash(event.body));
  progress.size += 1;
  if (progress.trusted?.size === progress.size) progress.rootAtTrusted = rootOf(progress.frontier);
  return null;
}

function takeCheckpoint(progress: Progress, note: string): LogProblem | null {
  const checkpoint = verifyCheckpoint(progress.verifier, note);
  if (!checkpoint.ok) {
    const problem = `The checkpoint after ${progress.size} events cannot be trusted: ${checkpoint.refusal}.`;
    return { position: progress.soundSize, problem };
  }
  if (checkpoint.value.size > progress.size) {
    const problem = `Position ${progress.size} is missing: a checkpoint of size ${checkpoint.value.size} follows there.`;
    return { position: progress.size, problem };
  }
  if (checkpoint.value.size < progress.size || (progress.checkpoints > 0 && progress.size === progress.soundSize)) {
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
  progress.checkpoints += 1;
  progress.newestCheckpoint = note;
  return null;
}

function conclude(progress: Progress): Result<LogSound, LogProblem> {
  const { size, header, trusted, soundSize } = progress;
  if (header === null) return broken(null, 'The export is empty.');
  if (trusted !== null && size < trusted.size) {
    const missing = trusted.size - size;
    return broken(
      size,
      `The log ends after ${size} events, but the trusted checkpoint covers ${trusted.size}: the last ${missing} are missing.`,
    );
  }
  if (trusted !== null && !progress.rootAtTrusted.equals(trusted.root)) {
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
    return broken(soundSize, `No checkpoint covers positions ${soundSize} to ${size - 1}: they are not signed.`);
  }
  return accepted({
    size,
    root: rootOf(progress.frontier).toString('base64'),
    checkpoints: progress.checkpoints,
    erased: progress.erased,
    newestCheckpoint: progress.newestCheckpoint,
  });
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
