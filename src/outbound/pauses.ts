const FIRST_MS = 8_000;
const LONGEST_MS = 3_600_000;
/** The part of each pause that chance decides, so that what failed together does not come back together. */
const JITTER = 0.25;

/** 6 to 8 s after the first attempt, then twice as long each time, up to an hour. `chance` is from 0 to 1. */
export function pauseBeforeRetryMs(attempts: number, chance: number): number {
  const wholeMs = Math.min(FIRST_MS * 2 ** (attempts - 1), LONGEST_MS);
  return Math.round(wholeMs * (1 - JITTER * chance));
}
