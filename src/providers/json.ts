import { LosslessNumber, isLosslessNumber, parse, stringify } from 'lossless-json';
import { z } from 'zod';
import { formatDecimal, isAmountMinor, parseDecimal } from '../domain/money.js';

export type JsonReading<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly detail: string };

/** Reads a provider's JSON with its numbers as they were written; the detail names members, never values. */
export function readJson<T>(schema: z.ZodType<T>, text: string): JsonReading<T> {
  const json = parseJson(text);
  if (json === undefined) return { ok: false, detail: 'the answer is no JSON' };
  const parsed = schema.safeParse(json);
  if (parsed.success) return { ok: true, value: parsed.data };
  const path = parsed.error.issues[0]?.path.map(String).join('.') ?? '';
  return {
    ok: false,
    detail: `the answer's ${path === '' ? 'top level' : `member ${path}`} is not as documented`,
  };
}

/** Undefined where the text is no JSON; numbers are LosslessNumber, so that `10` and `10.0` stay different. */
export function parseJson(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

/** JSON in which `decimalNumber` amounts keep their two decimals. */
export function writeJson(value: Readonly<Record<string, unknown>>): string {
  return stringify(value) ?? '{}';
}

/** `0.10` as a JSON number, from 10 minor units. */
export function decimalNumber(amountMinor: number): LosslessNumber {
  return new LosslessNumber(formatDecimal(amountMinor));
}

const numberText = z
  .custom<LosslessNumber>(isLosslessNumber, 'expected a number')
  .transform((number) => number.value);

function toMinor(text: string, context: z.RefinementCtx): number {
  const amountMinor = parseDecimal(text);
  if (amountMinor !== null) return amountMinor;
  context.addIssue('expected an amount');
  return z.NEVER;
}

/** Major units as a JSON number, `10` included: 10.5 → 1050. */
export const majorNumber = numberText.transform(toMinor);

/** Major units as text with two decimals: "10.50" → 1050. */
export const majorText = z
  .string()
  .regex(/^\d{1,10}\.\d{2}$/)
  .transform(toMinor);

/** Major units as number or text, told from minor units by their point: without one the amount is not readable. */
export const majorWithPoint = z
  .union([numberText, z.string()])
  .refine((text) => text.includes('.'), 'expected a decimal point')
  .transform(toMinor);

/** Minor units as a JSON integer. */
export const minorInteger = numberText
  .refine((text) => /^\d+$/.test(text), 'expected an integer')
  .transform(Number)
  .refine(isAmountMinor, 'expected an amount');

/** A status or code as integer or digits in text: 8, "8" and "08" are 8. */
export const integerCode = z
  .union([numberText, z.string()])
  .refine((text) => /^\d{1,9}$/.test(text), 'expected a code')
  .transform(Number);

/** An id or a word: text, or a number as it was written; surrounding blanks are dropped. */
export const word = z.union([z.string(), numberText]).transform((text) => text.trim());
