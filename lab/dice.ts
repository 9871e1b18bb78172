/** Choices that a seed repeats: the same seed, the same choices in the same order. */
export interface Dice {
  chance(probability: number): boolean;
  /** A whole number, both ends included. */
  between(least: number, most: number): number;
  pick<T>(items: readonly [T, ...T[]]): T;
  /** Dice of their own for one subject, so that what runs side by side does not disturb its choices. */
  forkFor(subject: string): Dice;
}

export function diceOf(seed: string): Dice {
  const next = mulberry32(hashOf(seed));
  const between = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1));
  return {
    chance: (probability) => next() < probability,
    between,
    pick: (items) => items[between(0, items.length - 1)] ?? items[0],
    forkFor: (subject) => diceOf(`${seed}/${subject}`),
  };
}

/** Numbers from 0 to below 1; a public-domain generator by Tommy Ettinger. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}
