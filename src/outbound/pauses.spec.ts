import { describe, expect, it } from '@jest/globals';
import { pauseBeforeRetryMs } from './pauses.js';

describe('the pause before a webhook is tried again', () => {
  it('is below 10 s at first, whatever chance says', () => {
    expect([0, 0.5, 1].map((chance) => pauseBeforeRetryMs(1, chance))).toEqual([8_000, 7_000, 6_000]);
  });

  it('doubles up to an hour, which it stays at', () => {
    const pauses = [1, 2, 3, 8, 9, 10, 11, 500].map((attempts) => pauseBeforeRetryMs(attempts, 0) / 1_000);
    expect(pauses).toEqual([8, 16, 32, 1_024, 2_048, 3_600, 3_600, 3_600]);
  });

  it('differs by chance at every step', () => {
    expect(pauseBeforeRetryMs(500, 1)).toBe(2_700_000);
  });
});
