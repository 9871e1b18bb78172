/** Numbers that look random and are the same everywhere for the same seed (mulberry32). */
export class Random {
  private state: number;

  constructor(seed: number) {
    // Neighbouring seeds would begin alike.
    this.state = Math.imul(seed, 0x9e3779b1);
  }

  /** From 0 up to, and never, `bound`. */
  upTo(bound: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * bound;
  }

  whole(bound: number): number {
    return Math.floor(this.upTo(bound));
  }

  chance(probability: number): boolean {
    return this.upTo(1) < probability;
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.whole(choices.length)] ?? choices[0];
  }
}
