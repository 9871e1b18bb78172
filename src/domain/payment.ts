/** How the payer paid; it decides which refund window applies (window.ts). */
export const PAYMENT_METHODS = ['pix', 'pix_withdrawal', 'wallet', 'card'] as const;
export type PaymentMethod = (typeof PAYMENT_METHODS)[number];

/** The original payment as the ledger holds it. Instants are epoch milliseconds. */
export interface Payment {
  readonly id: string;
  readonly provider: string;
  /** Canonical: UUIDs lower-case, 4Geeks without `ch_`, urns decoded (each provider's `canonicalPaymentId`). */
  readonly providerPaymentId: string;
  /** PicPay's `reference_id`, where it was given. */
  readonly providerPaymentReference: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  readonly method: PaymentMethod;
  readonly paidAtMs: number;
  readonly reference: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly refundedMinor: number;
  readonly reservedMinor: number;
  /** Money that left the payment without us (panel, MED), as the provider last showed it. */
  readonly externalMinor: number;
  readonly createdAtMs: number;
}

/** What may still be asked for. `externalMinor` is a fact and may overshoot; the result never goes below zero. */
export function refundableMinor(
  payment: Pick<Payment, 'amountMinor' | 'refundedMinor' | 'reservedMinor' | 'externalMinor'>,
): number {
  return Math.max(
    0,
    payment.amountMinor - payment.refundedMinor - payment.reservedMinor - payment.externalMinor,
  );
}
