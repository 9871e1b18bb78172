/** A complete read after the end that contradicts what had landed. */
export interface Doubt {
  readonly readAtMs: number;
  /** `negative`: listed with an explicit negative status. `missing`: not listed any more. */
  readonly kind: 'negative' | 'missing';
  readonly providerStatus: string;
}

export type AfterTheEnd =
  /** What is known now; empty: nothing speaks against it. */
  | { readonly kind: 'stands'; readonly doubts: readonly Doubt[] }
  /** The provider took it back. */
  | { readonly kind: 'reversed'; readonly doubts: readonly Doubt[] }
  /** It is not shown as it was, and nothing says what became of it. */
  | { readonly kind: 'disappeared'; readonly doubts: readonly Doubt[] };

/**
 * What one more complete reading says of a refund that had landed. `seen` null: it is shown as it should be. Two
 * contradictions count where at least the quiet time lies between them and no reading in between showed it well; both
 * must be explicit to be a reversal.
 */
export function judgeAfterTheEnd(
  earlier: readonly Doubt[],
  seen: Doubt | null,
  quietMs: number,
): AfterTheEnd {
  if (seen === null) return { kind: 'stands', doubts: [] };
  const aged = earlier.filter(({ readAtMs }) => seen.readAtMs - readAtMs >= quietMs);
  const decisive = seen.kind === 'negative' ? aged.filter(({ kind }) => kind === 'negative') : aged;
  if (decisive.length > 0) {
    return { kind: seen.kind === 'negative' ? 'reversed' : 'disappeared', doubts: [...earlier, seen] };
  }
  // The first of its kind counts: a burst of readings proves no more than one.
  const isNew = earlier.every(({ kind }) => kind !== seen.kind);
  return { kind: 'stands', doubts: isNew ? [...earlier, seen] : earlier };
}
