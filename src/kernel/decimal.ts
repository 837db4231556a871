const DECIMAL = /^-?(0|[1-9]\d{0,17})(\.\d{1,12})?$/;

/** A decimal in plain notation: at most 18 digits before and 12 after the point, no exponent, no leading zero or plus. */
export function isDecimal(text: string): boolean {
  return DECIMAL.test(text);
}

/** Below, at or above zero as `a` is below, equal to or above `b`; exact, without binary fractions. Both are decimals. */
export function compareDecimals(a: string, b: string): number {
  const difference = scaled(a) - scaled(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

const PLACES = 12;

function scaled(text: string): bigint {
  if (!isDecimal(text)) throw new RangeError(`"${text}" is not a decimal.`);
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  const value = BigInt(whole + fraction.padEnd(PLACES, '0'));
  return text.startsWith('-') ? -value : value;
}
