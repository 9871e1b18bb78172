/** An amount in minor units (centavos for BRL) with its ISO 4217 code. Never a float, never a bare number. */
export interface Money {
  readonly amountMinor: number;
  readonly currency: string;
}

/** The money codes that we handle all have two decimals; a code with another exponent is refused at the edge. */
export const MINOR_DIGITS = 2;

export const AMOUNT_MINOR_MAX = 999_999_999_999;

export function sumMinor(entries: readonly { readonly amountMinor: number }[]): number {
  return entries.reduce((sum, { amountMinor }) => sum + amountMinor, 0);
}

export function isAmountMinor(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= AMOUNT_MINOR_MAX;
}

/**
 * "10.50" from 1050: exactly two decimals, the form that every provider document shows.
 * @throws RangeError when the amount is no whole number of minor units.
 */
export function formatDecimal(amountMinor: number): string {
  if (!isAmountMinor(amountMinor)) throw new RangeError('amount is not a whole number of minor units');
  const digits = String(amountMinor).padStart(MINOR_DIGITS + 1, '0');
  return `${digits.slice(0, -MINOR_DIGITS)}.${digits.slice(-MINOR_DIGITS)}`;
}

/**
 * 1050 from "10.50", "10.5", "10" or "10.500": exact, no floating point.
 * Null where the text is no plain decimal, has a fraction of a centavo, or is out of range: the caller decides
 * what an unreadable amount means, it is never rounded.
 */
export function parseDecimal(text: string): number | null {
  const match = /^(\d{1,13})(?:\.(\d{1,12}))?$/.exec(text);
  if (!match) return null;
  const fraction = (match[2] ?? '').replace(/0+$/, '');
  if (fraction.length > MINOR_DIGITS) return null;
  const amountMinor = Number(match[1]) * 10 ** MINOR_DIGITS + Number(fraction.padEnd(MINOR_DIGITS, '0'));
  return isAmountMinor(amountMinor) ? amountMinor : null;
}
