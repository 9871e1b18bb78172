import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AMOUNT_MINOR_MAX, formatDecimal, isAmountMinor, parseDecimal } from './money.js';

const amountMinor = fc.integer({ min: 0, max: AMOUNT_MINOR_MAX });

describe('decimal amounts', () => {
  it('come back as the same whole number of minor units, whatever the amount', () => {
    fc.assert(fc.property(amountMinor, (minor) => parseDecimal(formatDecimal(minor)) === minor));
  });

  it('are written with exactly two decimals, digit for digit', () => {
    fc.assert(
      fc.property(amountMinor, (minor) => {
        const text = formatDecimal(minor);
        expect(text).toMatch(/^(0|[1-9]\d*)\.\d{2}$/);
        expect(BigInt(text.replace('.', ''))).toBe(BigInt(minor));
      }),
    );
  });

  it.each([
    ['0', 0],
    ['0.00', 0],
    ['0.01', 1],
    ['0.10', 10],
    ['0.1', 10],
    ['10', 1_000],
    ['10.5', 1_050],
    ['10.500', 1_050],
    ['007.50', 750],
    // Products that binary fractions get wrong: 1.15 * 100 is 114.99999999999999.
    ['1.15', 115],
    ['4.35', 435],
    ['1.005000', null],
    ['9999999999.99', AMOUNT_MINOR_MAX],
  ])('reads %j as %p minor units', (text, expected) => {
    expect(parseDecimal(text)).toBe(expected);
  });

  it('never rounds: a fraction of a centavo is unreadable', () => {
    const fraction = fc.tuple(amountMinor, fc.integer({ min: 1, max: 9 }), fc.constantFrom('', '0', '5'));
    fc.assert(
      fc.property(fraction, ([minor, third, rest]) => {
        expect(parseDecimal(`${formatDecimal(minor)}${third}${rest}`)).toBeNull();
      }),
    );
  });

  it.each([
    '',
    ' ',
    ' 1.00',
    '1.00 ',
    '1.00\n',
    '.50',
    '1.',
    '1.2.3',
    '1,50',
    '1.000,50',
    '1_000',
    '+1.00',
    '-1.00',
    '-0',
    '1e2',
    '1E2',
    '0x10',
    'NaN',
    'Infinity',
    'R$ 1.00',
    '１.００',
    '10000000000.00',
    '99999999999999999999',
    '1.0000000000000',
  ])('refuses %j', (text) => {
    expect(parseDecimal(text)).toBeNull();
  });

  it('reads any text as an amount in range, or not at all', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.eE+-]{1,20}$/)), (text) => {
        const minor = parseDecimal(text);
        expect(minor === null || isAmountMinor(minor)).toBe(true);
      }),
    );
  });
});

describe('amounts in minor units', () => {
  it.each([0, 1, AMOUNT_MINOR_MAX])('%p is one', (value) => {
    expect(isAmountMinor(value)).toBe(true);
  });

  it.each([-1, 0.5, 10.1, AMOUNT_MINOR_MAX + 1, 2 ** 53, NaN, Infinity, '10', 10n, null, undefined])(
    '%p is none, and is never written',
    (value) => {
      expect(isAmountMinor(value)).toBe(false);
      expect(() => formatDecimal(value as number)).toThrow(RangeError);
    },
  );
});
