import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readIdempotencyKey } from './idempotency-key.js';

describe('the Idempotency-Key header', () => {
  it('is one key, quoted or bare', () => {
    const printable = fc
      .string({
        unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
        minLength: 1,
        maxLength: 255,
      })
      .filter((key) => key.trim() === key && !key.startsWith('"'));
    fc.assert(
      fc.property(printable, (key) => {
        const quoted = `"${key.replace(/["\\]/g, (character) => `\\${character}`)}"`;
        expect(readIdempotencyKey(key)).toBe(key);
        expect(readIdempotencyKey(quoted)).toBe(key);
      }),
    );
  });

  it.each([undefined, '', '  ', '""'])('is missing when it is %j', (header) => {
    expect(() => readIdempotencyKey(header)).toThrow(
      expect.objectContaining({ code: 'idempotency_key_missing' }),
    );
  });

  it.each(['x'.repeat(256), '"open', 'a"b"\u0007', 'é', '"a"b"'])('is refused when it is %j', (header) => {
    expect(() => readIdempotencyKey(header)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });
});
