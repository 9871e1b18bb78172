/** A complete read after the end that contradicts what had landed. */
export interface Doubt {
  readonly readAtMs: number;
  /** `negative`: listed with an explicit negative status. `missing`: not listed any more. */
  readonly kind: 'negative' | 'missing';
  readonly providerStatus: string;
}
