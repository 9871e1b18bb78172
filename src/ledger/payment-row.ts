import type { Payment } from '../domain/payment.js';
import type { PaymentReference } from '../domain/provider.js';
import type { PaymentRow } from './refunds.js';

export function paymentFromRow(row: PaymentRow): Payment {
  return {
    id: row.id,
    provider: row.provider,
    providerPaymentId: row.provider_payment_id,
    providerPaymentReference: row.provider_payment_reference,
    amountMinor: row.amount_minor,
    currency: row.currency,
    method: row.method,
    paidAtMs: row.paid_at.getTime(),
    reference: row.reference,
    metadata: row.metadata,
    refundedMinor: row.refunded_minor,
    reservedMinor: row.reserved_minor,
    externalMinor: row.external_minor,
    createdAtMs: row.created_at.getTime(),
  };
}

export function referenceOf(payment: Payment): PaymentReference {
  return {
    providerPaymentId: payment.providerPaymentId,
    providerPaymentReference: payment.providerPaymentReference,
    paymentId: payment.id,
    paidAtMs: payment.paidAtMs,
  };
}
