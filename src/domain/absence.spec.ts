import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { absenceProven, quietFromMs, type AbsenceBounds } from './absence.js';

const bounds: AbsenceBounds = { sendByMs: 2_000, providerTimeoutMs: 10_000, quietMs: 900_000 };
const FROM = 12_000;
const END = 912_000;

describe('proven absence', () => {
  it('counts from the last instant at which the call may have been under way', () => {
    expect(quietFromMs(bounds)).toBe(FROM);
  });

  it.each<[string, number[], boolean]>([
    ['no reads', [], false],
    ['two reads, however late', [END, END + 1_000_000], false],
    ['three reads, the last a millisecond before the quiet time ends', [FROM, FROM + 1, END - 1], false],
    ['three reads, the last exactly at its end', [FROM, FROM + 1, END], true],
    ['the first exactly at its beginning', [FROM, FROM + 300_000, END + 1], true],
    ['one of three before its beginning', [FROM - 1, FROM + 300_000, END], false],
    ['many before its beginning, none after', [0, 1, 2, 3, FROM - 1], false],
    ['a fourth makes up for one before its beginning', [FROM - 1, FROM, FROM + 1, END], true],
    ['the order does not matter', [END, FROM, FROM + 1], true],
  ])('%s', (_case, reads, proven) => {
    expect(
      absenceProven(
        reads.map((readAtMs) => ({ readAtMs })),
        bounds,
      ),
    ).toBe(proven);
  });

  it('needs three reads since the call must have ended, one of them after the quiet time, always', () => {
    const read = fc.record({ readAtMs: fc.integer({ min: 0, max: 2 * END }) });
    fc.assert(
      fc.property(fc.array(read, { maxLength: 8 }), (reads) => {
        const since = reads.filter(({ readAtMs }) => readAtMs >= FROM);
        const proven = since.length >= 3 && since.some(({ readAtMs }) => readAtMs >= END);
        expect(absenceProven(reads, bounds)).toBe(proven);
      }),
    );
  });
});
