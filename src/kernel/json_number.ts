/**
 * Why a JSON number may not be used, or null. A number is safe when every reader, whatever its number type, sees the
 * decimal value that was written (I-JSON, RFC 7493 §2.2): 1.0 and 1 are equal, 0.1 passes, 0.10000000000000001 does not.
 */
export function numberProblem(written: string, value: number): string | null {
  if (!Number.isFinite(value)) return 'the number is too large for a double';
  if (value === 0) return zeroProblem(written);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return 'the integer is beyond 2^53-1; send it as a string';
  }
  return sameDecimal(decimalOf(written), decimalOf(String(value)))
    ? null
    : 'the number does not survive in a double; write fewer digits or send it as a string';
}

function zeroProblem(written: string): string | null {
  if (decimalOf(written).digits !== '') return 'the number is too small for a double';
  return written.startsWith('-') ? 'negative zero has no agreed meaning; write 0' : null;
}

interface Decimal {
  /** Significant digits without leading or trailing zeros; empty for zero. */
  readonly digits: string;
  /** The power of ten of a point put before the first digit. */
  readonly exponent: number;
}

// Signs are left out: a double has the sign it was written with.
function decimalOf(text: string): Decimal {
  const unsigned = text.startsWith('-') ? text.slice(1) : text;
  const exponentAt = unsigned.search(/[eE]/);
  const mantissa = exponentAt < 0 ? unsigned : unsigned.slice(0, exponentAt);
  const writtenExponent = exponentAt < 0 ? 0 : Number(unsigned.slice(exponentAt + 1));
  const pointAt = mantissa.indexOf('.');
  const integerDigits = pointAt < 0 ? mantissa.length : pointAt;
  const digits = pointAt < 0 ? mantissa : mantissa.slice(0, pointAt) + mantissa.slice(pointAt + 1);
  // Loops, since a pattern anchored at the end is quadratic on long runs of zeros.
  let start = 0;
  while (digits[start] === '0') start += 1;
  let end = digits.length;
  while (end > start && digits[end - 1] === '0') end -= 1;
  return { digits: digits.slice(start, end), exponent: integerDigits - start + writtenExponent };
}

function sameDecimal(left: Decimal, right: Decimal): boolean {
  return left.digits === right.digits && left.exponent === right.exponent;
}
