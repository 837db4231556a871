const isColour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const paint = (code: number, text: string) => (isColour ? `\u001b[${code}m${text}\u001b[0m` : text);

/** Tells the demo in plain lines as it happens, and remembers whether every step held. */
export class Story {
  #step = 0;
  #failed = 0;

  get hasHeld(): boolean {
    return this.#failed === 0;
  }

  chapter(title: string): void {
    this.#step += 1;
    process.stdout.write(`\n${paint(1, `${this.#step}. ${title}`)}\n`);
  }

  tell(line: string): void {
    process.stdout.write(`   ${line}\n`);
  }

  ask(line: string, link: string): void {
    process.stdout.write(`\n   ${paint(1, line)}\n\n     ${paint(36, link)}\n\n`);
  }

  /** One thing that must hold; the demo goes on, and ends with exit code 1, if it does not. */
  check(holds: boolean, held: string, broken = `NOT: ${held}`): void {
    if (!holds) this.#failed += 1;
    process.stdout.write(holds ? `   ${paint(32, '✓')} ${held}\n` : `   ${paint(31, '✗')} ${broken}\n`);
  }
}
