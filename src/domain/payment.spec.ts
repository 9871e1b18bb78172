import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { refundableMinor } from './payment.js';

describe('what may still be refunded', () => {
  it.each([
    ['nothing moved', { refundedMinor: 0, reservedMinor: 0, externalMinor: 0 }, 1_000],
    [
      'refunded, reserved and external each count once',
      { refundedMinor: 100, reservedMinor: 20, externalMinor: 3 },
      877,
    ],
    ['all is taken', { refundedMinor: 600, reservedMinor: 400, externalMinor: 0 }, 0],
    [
      'money that left without us overshoots',
      { refundedMinor: 600, reservedMinor: 0, externalMinor: 600 },
      0,
    ],
  ])('%s', (_case, moved, expected) => {
    expect(refundableMinor({ amountMinor: 1_000, ...moved })).toBe(expected);
  });

  it('is never below zero and never lets more out than came in', () => {
    const amount = fc.integer({ min: 0, max: 1_000_000 });
    fc.assert(
      fc.property(
        amount,
        amount,
        amount,
        amount,
        (amountMinor, refundedMinor, reservedMinor, externalMinor) => {
          const left = refundableMinor({ amountMinor, refundedMinor, reservedMinor, externalMinor });
          expect(left).toBeGreaterThanOrEqual(0);
          expect(left === 0 || left + refundedMinor + reservedMinor + externalMinor === amountMinor).toBe(
            true,
          );
        },
      ),
    );
  });
});
