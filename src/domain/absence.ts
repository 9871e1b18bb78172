/** A complete read of the provider's refunds in which an unclear attempt did not appear. */
export interface AbsentRead {
  readonly readAtMs: number;
}

export interface AbsenceBounds {
  /** Until when the attempt's bytes may have left us. */
  readonly sendByMs: number;
  readonly providerTimeoutMs: number;
  /** How long "not there" must hold. */
  readonly quietMs: number;
}

const READS_MIN = 3;

/** The instant from which "not there" begins to count: the call can no longer be under way on our side. */
export function quietFromMs(bounds: AbsenceBounds): number {
  return bounds.sendByMs + bounds.providerTimeoutMs;
}

/** Of the quiet time, at least so much lies between two reads that count. */
const APART = 1 / 4;

/**
 * True when the attempt is provably not there: at least three complete reads, spread over the quiet time, the last
 * one no earlier than its end, and the attempt in none of them. `reads` are all complete reads since the claim.
 */
export function absenceProven(reads: readonly AbsentRead[], bounds: AbsenceBounds): boolean {
  const from = quietFromMs(bounds);
  const counted: number[] = [];
  for (const { readAtMs } of [...reads].sort((one, other) => one.readAtMs - other.readAtMs)) {
    const before = counted.at(-1) ?? -Infinity;
    if (readAtMs >= from && readAtMs - before >= bounds.quietMs * APART) counted.push(readAtMs);
  }
  return counted.length >= READS_MIN && (counted.at(-1) ?? 0) >= from + bounds.quietMs;
}
