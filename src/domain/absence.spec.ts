import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { absenceProven, quietFromMs, type AbsenceBounds } from './absence.js';

const bounds: AbsenceBounds = { sendByMs: 2_000, providerTimeoutMs: 10_000, quietMs: 900_000 };
const FROM = 12_000;
const END = 912_000;
/** Reads that count lie at least this far apart. */
const QUARTER = 225_000;

describe('proven absence', () => {
  it('counts from the last instant at which the call may have been under way', () => {
    expect(quietFromMs(bounds)).toBe(FROM);
  });

  it.each<[string, number[], boolean]>([
    ['no reads', [], false],
    ['two reads, however late', [END, END + 1_000_000], false],
    [
      'three reads, the last a millisecond before the quiet time ends',
      [FROM, FROM + QUARTER, END - 1],
      false,
    ],
    ['three reads, the last exactly at its end', [FROM, FROM + QUARTER, END], true],
    ['three reads, two of them close together', [FROM, FROM + QUARTER - 1, END], false],
    ['three reads bunched after the end', [END, END + 1, END + 2], false],
    ['the first exactly at its beginning', [FROM, FROM + 300_000, END + 1], true],
    ['one of three before its beginning', [FROM - 1, FROM + 300_000, END], false],
    ['many before its beginning, none after', [0, 1, 2, 3, FROM - 1], false],
    ['a fourth makes up for one before its beginning', [FROM - 1, FROM, FROM + QUARTER, END], true],
    ['the order does not matter', [END, FROM, FROM + QUARTER], true],
  ])('%s', (_case, reads, proven) => {
    expect(
      absenceProven(
        reads.map((readAtMs) => ({ readAtMs })),
        bounds,
      ),
    ).toBe(proven);
  });

  it('is never proven by fewer than three reads, nor before the quiet time is over', () => {
    const read = fc.record({ readAtMs: fc.integer({ min: 0, max: 2 * END }) });
    fc.assert(
      fc.property(fc.array(read, { maxLength: 8 }), (reads) => {
        const since = reads.filter(({ readAtMs }) => readAtMs >= FROM);
        const possible = since.length >= 3 && since.some(({ readAtMs }) => readAtMs >= END);
        expect(absenceProven(reads, bounds) && !possible).toBe(false);
      }),
    );
  });

  it('is proven by reads that go on at a steady pace, however they began', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: FROM }),
        fc.integer({ min: 1_000, max: 300_000 }),
        (first, pace) => {
          const times = Array.from({ length: 2_000 }, (_, index) => first + index * pace);
          const reads = times
            .filter((readAtMs) => readAtMs <= END + 2 * 300_000)
            .map((readAtMs) => ({ readAtMs }));
          expect(absenceProven(reads, bounds)).toBe(true);
        },
      ),
    );
  });
});
