import type { Logger } from '../../kernel/logger.ts';
import { MESSAGE_BYTES_MAX } from '../limits.ts';
import { type Program, startChild } from './child.ts';
import type { OpenTransport } from './connection.ts';
import { splitLines } from './line_splitter.ts';
import { drainStderr } from './stderr_drain.ts';

const SKIPPED = 'Skipped a line of stdout that is no message.';

/** MCP over the stdin and stdout of a child process (MCP 2025-11-25, Transports, stdio). */
export function stdioTransport(program: Program, log: Logger): OpenTransport {
  return (events) => {
    const child = startChild(program);
    const stderr = drainStderr(child.process.stderr, log);
    let skipped = 0;
    const split = splitLines(
      MESSAGE_BYTES_MAX,
      (line) => {
        // Programs print banners to stdout although they must not. The first is worth a word, a flood is not.
        if (line.startsWith('{')) events.onMessage(line);
        else if (line.trim() !== '') log[skipped++ === 0 ? 'warn' : 'debug']({ characters: line.length }, SKIPPED);
      },
      () => {
        log.error(
          { bytes_max: MESSAGE_BYTES_MAX },
          'The tool server wrote a message that is too large. It is stopped.',
        );
        void child.stop();
      },
    );
    child.process.stdout.on('data', split);
    // A program that closed its stdout can answer nobody.
    child.process.stdout.on('end', () => void child.stop());
    let isStopping = false;
    void child.exited.then((why) => {
      const fields = { pid: child.process.pid, why, stderr: stderr.tail() };
      if (isStopping) log.debug({ pid: child.process.pid, why }, 'The tool server was stopped.');
      else log.warn(fields, 'The tool server ended by itself.');
      events.onExit(why);
    });
    return {
      send: (text) => {
        child.process.stdin.write(`${text}\n`);
      },
      setProtocolVersion: () => {},
      abandon: () => {},
      close: () => {
        isStopping = true;
        return child.stop();
      },
    };
  };
}
