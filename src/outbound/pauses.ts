const SHORTEST_MS = 8_000;
const LONGEST_MS = 3_600_000;
/** The part of each pause that chance decides, so that what failed together does not come back together. */
const JITTER = 0.25;

/**
 * As long again as it has been tried already, which doubles it each time: from 6 to 8 s at first up to an hour, also after
 * it was sent again by hand. `chance` is from 0 to 1.
 */
export function pauseBeforeRetryMs(triedForMs: number, chance: number): number {
  const wholeMs = Math.min(Math.max(triedForMs, SHORTEST_MS), LONGEST_MS);
  return Math.round(wholeMs * (1 - JITTER * chance));
}
