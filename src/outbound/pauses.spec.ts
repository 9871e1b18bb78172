import { describe, expect, it } from '@jest/globals';
import { pauseBeforeRetryMs } from './pauses.js';

describe('the pause before a webhook is tried again', () => {
  it('is below 10 s at first, whatever chance says', () => {
    expect([0, 0.5, 1].map((chance) => pauseBeforeRetryMs(0, chance))).toEqual([8_000, 7_000, 6_000]);
  });

  it('doubles up to an hour, which it stays at', () => {
    const pauses: number[] = [];
    for (let triedForMs = 0; pauses.length < 12; triedForMs += pauses.at(-1) ?? 0) {
      pauses.push(pauseBeforeRetryMs(triedForMs, 0));
    }
    const seconds = pauses.map((pause) => pause / 1_000);
    expect(seconds).toEqual([8, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_600, 3_600]);
  });

  it('differs by chance at every step', () => {
    expect(pauseBeforeRetryMs(86_400_000, 1)).toBe(2_700_000);
  });
});
