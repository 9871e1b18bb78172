import { describe, expect, it } from '@jest/globals';
import { fingerprintOf } from './fingerprint.js';

describe('the fingerprint of a body', () => {
  it('does not depend on the order of members', () => {
    expect(fingerprintOf({ a: 1, b: { c: null, d: 'é' } })).toBe(
      fingerprintOf({ b: { d: 'é', c: null }, a: 1 }),
    );
  });

  it('differs when any value differs', () => {
    expect(fingerprintOf({ amount: 1 })).not.toBe(fingerprintOf({ amount: 2 }));
    expect(fingerprintOf({ amount: 1 })).not.toBe(fingerprintOf({ amount: '1' }));
  });
});
