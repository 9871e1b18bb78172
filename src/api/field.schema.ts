import { z } from 'zod';
import { AMOUNT_MINOR_MAX, MINOR_DIGITS } from '../domain/money.js';

/** Turn the order of what a person reads, or break its line. */
const REORDERING = String.raw`\u2028-\u202e\u2066-\u2069`;
/** What can't be seen: two texts that look alike must not differ by it. */
const UNSEEN = [
  String.raw`\ufe00-\ufe0f\u17b4-\u17b5\u180b-\u180f\u00ad\u061c\u115f\u1160\u200b-\u200f`,
  String.raw`\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb`,
  // Written out, as not every reader of the document knows an escape for it.
  `${String.fromCodePoint(0xe0000)}-${String.fromCodePoint(0xe0fff)}`,
].join('');
const CONTROLS = String.raw`\u0000-\u001f\u007f-\u009f`;

/** A person's words. PostgreSQL holds no NUL and no half of a surrogate pair. */
export const printable = (max: number, min = 1) =>
  z
    .string()
    .min(min)
    .refine((text) => PRINTABLE.test(text), 'must hold no characters that control or reorder text')
    .refine((text) => [...text].length <= max, `must be at most ${max} characters`)
    .refine((text) => !/\p{Surrogate}/u.test(text), 'must be well-formed Unicode')
    .meta({ maxLength: max, pattern: PRINTABLE.source });

/** What a program compares: stored in Normal Form C, so that one that is composed otherwise is the same. */
export const label = (max: number) =>
  printable(max)
    .refine((text) => SEEN.test(text), 'must hold no invisible characters')
    .normalize('NFC')
    .meta({ maxLength: max, pattern: SEEN.source });

const PRINTABLE = new RegExp(`^[^${CONTROLS}${REORDERING}]*$`, 'u');
const SEEN = new RegExp(`^[^${UNSEEN}${CONTROLS}${REORDERING}]*$`, 'u');

export const REFERENCE_MAX = 128;
export const DESCRIPTION_MAX = 140;
const METADATA_ENTRIES_MAX = 50;
const METADATA_KEY_MAX = 40;
const METADATA_VALUE_MAX = 500;

export const metadata = z
  .record(label(METADATA_KEY_MAX), printable(METADATA_VALUE_MAX, 0))
  .refine(
    (entries) => Object.keys(entries).length <= METADATA_ENTRIES_MAX,
    `must have at most ${METADATA_ENTRIES_MAX} entries`,
  )
  .meta({
    maxProperties: METADATA_ENTRIES_MAX,
    description: 'Your own words about it; shown again, never read.',
    examples: [{ order: '1042' }],
  });

export const amountMinor = z
  .int()
  .min(1)
  .max(AMOUNT_MINOR_MAX)
  .meta({ description: 'In minor units (centavos).', examples: [1050] });

/** A code with another number of decimals would make minor units mean something else. */
const TWO_DECIMAL_CURRENCIES = Intl.supportedValuesOf('currency').filter(
  (currency) =>
    /^[A-Z]{3}$/.test(currency) &&
    new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ===
      MINOR_DIGITS,
);

export const currency = z
  .enum(TWO_DECIMAL_CURRENCIES)
  .meta({ id: 'Currency', description: 'ISO 4217, the codes with two decimals.', examples: ['BRL'] });

export const instant = z.iso
  .datetime({ offset: true })
  .meta({ description: 'RFC 3339 with a zone.', examples: ['2026-03-02T14:05:00Z'] });

/** Its names are filled in where the document is made: they are the registry's. */
export const providerName = z
  .string()
  .regex(/^[a-z0-9_-]{1,32}$/)
  .meta({ id: 'Provider', description: 'A payment provider.', examples: ['pagou'] });

export const providerPaymentId = label(256).meta({
  description: "The payment's id at the provider, in any of the forms that it writes.",
  examples: ['f3b1a9b0-1c7e-4f8e-9a64-0d3f1f6b2c11'],
});

export const resourceId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'is no id');

export const idPath = z.strictObject({ id: resourceId });

export const providerPath = z.strictObject({ provider: providerName });

/** For routes that take no query parameters: unknown ones are refused everywhere. */
export const noQuery = z.strictObject({});
