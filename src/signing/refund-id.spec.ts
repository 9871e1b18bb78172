import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { paymentIdOf, refundIdOfKey } from './refund-id.js';

describe('ids derived from facts', () => {
  it('gives the same refund id to the same actor and key, in 26 Crockford characters', () => {
    expect(refundIdOfKey('ana', 'k1')).toBe(refundIdOfKey('ana', 'k1'));
    expect(refundIdOfKey('ana', 'k1')).toMatch(/^rfd_[0-9a-hjkmnp-tv-z]{26}$/);
    expect(paymentIdOf('pagou', 'a')).toMatch(/^pay_[0-9a-hjkmnp-tv-z]{26}$/);
  });

  it('gives different ids to different keys', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        fc.pre(one !== other);
        expect(refundIdOfKey('ana', one)).not.toBe(refundIdOfKey('ana', other));
      }),
    );
  });
});
