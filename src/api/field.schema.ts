import { z } from 'zod';
import { AMOUNT_MINOR_MAX, MINOR_DIGITS } from '../domain/money.js';

/** PostgreSQL holds no NUL and no half of a surrogate pair; other control characters have no place in a label. */
export const printable = (max: number, min = 1) =>
  z
    .string()
    .min(min)
    .refine((text) => /^\P{Control}*$/u.test(text), 'must hold no control characters')
    .refine((text) => [...text].length <= max, `must be at most ${max} characters`)
    .refine((text) => !/\p{Surrogate}/u.test(text), 'must be well-formed Unicode')
    .meta({ maxLength: max, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' });

export const REFERENCE_MAX = 128;
export const DESCRIPTION_MAX = 140;
const METADATA_ENTRIES_MAX = 50;
const METADATA_KEY_MAX = 40;
const METADATA_VALUE_MAX = 500;

export const metadata = z
  .record(printable(METADATA_KEY_MAX), printable(METADATA_VALUE_MAX, 0))
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

export const providerPaymentId = printable(256).meta({
  description: "The payment's id at the provider, in any of the forms that it writes.",
  examples: ['f3b1a9b0-1c7e-4f8e-9a64-0d3f1f6b2c11'],
});

export const resourceId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'is no id');

export const idPath = z.strictObject({ id: resourceId });

/** For routes that take no query parameters: unknown ones are refused everywhere. */
export const noQuery = z.strictObject({});
