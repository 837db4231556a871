// Loaded before a process (`node --import`): shifts its wall clock, and nothing else, by what the file named in
// SHIFTED_CLOCK_FILE says, in milliseconds. The file may change while the process runs.
import { readFileSync } from 'node:fs';

const file = process.env.SHIFTED_CLOCK_FILE;
const RealDate = Date;
const REREAD_MS = 20;
let shiftMs = 0;
let readAt = Number.NEGATIVE_INFINITY;

function shift() {
  if (performance.now() - readAt < REREAD_MS) return shiftMs;
  readAt = performance.now();
  shiftMs = Number(readFileSync(file, 'utf8'));
  return shiftMs;
}

class ShiftedDate extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + shift());
    else super(...parts);
  }

  static now() {
    return RealDate.now() + shift();
  }
}

globalThis.Date = ShiftedDate;
