import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { AMOUNT_MINOR_MAX, formatDecimal } from '../domain/money.js';
import {
  decimalNumber,
  integerCode,
  majorNumber,
  majorText,
  majorWithPoint,
  minorInteger,
  parseJson,
  readJson,
  writeJson,
} from './json.js';

const amountMinor = fc.integer({ min: 0, max: AMOUNT_MINOR_MAX });

function read<T>(schema: z.ZodType<T>, json: string): T | null {
  const reading = readJson(schema, json);
  return reading.ok ? reading.value : null;
}

describe('amounts on the wire', () => {
  it('writes every amount as a JSON number with exactly two decimals', () => {
    expect(writeJson({ value: decimalNumber(10) })).toBe('{"value":0.10}');
    fc.assert(
      fc.property(amountMinor, (minor) => {
        expect(writeJson({ value: decimalNumber(minor) })).toBe(`{"value":${formatDecimal(minor)}}`);
      }),
    );
  });

  it('reads back exactly what it wrote, as number, as text and as minor units', () => {
    fc.assert(
      fc.property(amountMinor, (minor) => {
        const decimal = formatDecimal(minor);
        expect(read(majorNumber, decimal)).toBe(minor);
        expect(read(majorWithPoint, decimal)).toBe(minor);
        expect(read(majorWithPoint, `"${decimal}"`)).toBe(minor);
        expect(read(majorText, `"${decimal}"`)).toBe(minor);
        expect(read(minorInteger, String(minor))).toBe(minor);
      }),
    );
  });

  it('reads what JSON.stringify makes of reais', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000_000 }), (minor) => {
        expect(read(majorNumber, JSON.stringify(minor / 100))).toBe(minor);
      }),
    );
  });

  it('never takes an integer for major units where the point tells them from minor ones', () => {
    fc.assert(
      fc.property(amountMinor, (minor) => {
        expect(read(majorWithPoint, String(minor))).toBeNull();
        expect(read(majorWithPoint, `"${minor}"`)).toBeNull();
        expect(read(majorText, `"${minor}"`)).toBeNull();
      }),
    );
  });

  it.each(['-1.00', '1e2', '0.001', '10000000000000.00', '"1.00"', 'null', 'true', '{}'])(
    'does not guess at %s as a number of reais',
    (json) => expect(read(majorNumber, json)).toBeNull(),
  );

  it.each(['1.0', '-1', '1e3', '"1"', '99999999999999'])('does not guess at %s as centavos', (json) =>
    expect(read(minorInteger, json)).toBeNull(),
  );

  it.each([['0'], ['"0"'], ['"00"']])('reads %s as the code 0', (json) =>
    expect(read(integerCode, json)).toBe(0),
  );
});

describe('reading JSON', () => {
  it.each(['', '<html></html>', '{"a":1', '{"a":1}}', '['.repeat(300_000), '{"a":1,"a":2}'])(
    'takes nothing for JSON that is none',
    (text) => expect(parseJson(text)).toBeUndefined(),
  );

  it('names the member that is not as documented, and not its value', () => {
    const reading = readJson(
      z.object({ a: z.array(z.object({ b: majorNumber })) }),
      '{"a":[{"b":"secret"}]}',
    );
    expect(reading).toEqual({ ok: false, detail: "the answer's member a.0.b is not as documented" });
  });
});
