import { Problem } from './problem.js';

/** @throws Problem 503 where as many are inside already: told at once, instead of late and of an unknown outcome. */
export type EnterUnlessCrowded = <T>(work: () => Promise<T>) => Promise<T>;

/** Lets in so many at once. */
export function crowdOf(max: number): EnterUnlessCrowded {
  let inside = 0;
  return async (work) => {
    if (inside >= max) {
      throw new Problem(
        'engine_unavailable',
        'Too many wait for their verdict right now: nothing was done. Repeat it.',
      );
    }
    inside += 1;
    try {
      return await work();
    } finally {
      inside -= 1;
    }
  };
}
