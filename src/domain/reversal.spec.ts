import { describe, expect, it } from '@jest/globals';
import { judgeAfterTheEnd, type Doubt } from './reversal.js';

const QUIET_MS = 900;

const negative = (readAtMs: number): Doubt => ({ readAtMs, kind: 'negative', providerStatus: 'rejeitado' });
const missing = (readAtMs: number): Doubt => ({ readAtMs, kind: 'missing', providerStatus: 'aceito' });

/** The kinds of the verdicts, reading by reading, each on the doubts that the one before left. */
function judged(...readings: (Doubt | null)[]): string[] {
  let doubts: readonly Doubt[] = [];
  return readings.map((seen) => {
    const verdict = judgeAfterTheEnd(doubts, seen, QUIET_MS);
    doubts = verdict.doubts;
    return verdict.kind;
  });
}

describe('a refund that had landed', () => {
  it.each<[string, (Doubt | null)[], string[]]>([
    ['one negative reading', [negative(0)], ['stands']],
    ['two of them, too close', [negative(0), negative(899)], ['stands', 'stands']],
    ['two of them a quiet time apart', [negative(0), negative(900)], ['stands', 'reversed']],
    [
      'a burst of them does not start the time anew',
      [negative(0), negative(500), negative(900)],
      ['stands', 'stands', 'reversed'],
    ],
    ['two missing ones a quiet time apart', [missing(0), missing(900)], ['stands', 'disappeared']],
    [
      'missing, then negative: one explicit word is not two',
      [missing(0), negative(900)],
      ['stands', 'stands'],
    ],
    ['negative, then missing', [negative(0), missing(900)], ['stands', 'disappeared']],
    [
      'negative twice, missing in between',
      [negative(0), missing(400), negative(900)],
      ['stands', 'stands', 'reversed'],
    ],
    ['readings out of order', [negative(900), negative(0)], ['stands', 'stands']],
  ])('%s', (_case, readings, expected) => {
    expect(judged(...readings)).toEqual(expected);
  });

  it('is beyond doubt again once a reading shows it as it should be', () => {
    expect(judgeAfterTheEnd([negative(0)], null, QUIET_MS).doubts).toEqual([]);
    expect(judged(negative(0), null, negative(900))).toEqual(['stands', 'stands', 'stands']);
  });

  it('keeps every reading that the verdict rests on', () => {
    const { doubts } = judgeAfterTheEnd([negative(0)], negative(900), QUIET_MS);
    expect(doubts).toEqual([negative(0), negative(900)]);
  });
});
