import type { z } from 'zod';
import { availableMinor } from '../domain/eligibility.js';
import type { Payment } from '../domain/payment.js';
import { refundWindow } from '../domain/window.js';
import type { ApiDeps } from './deps.js';
import type { paymentResource } from './payment.schema.js';

export function toPaymentResource(
  payment: Payment,
  liveRefunds: number,
  deps: Pick<ApiDeps, 'providers' | 'policy'>,
): z.output<typeof paymentResource> {
  const capabilities = deps.providers.get(payment.provider)?.definition.capabilities;
  const window = refundWindow(payment.method, payment.paidAtMs, deps.policy.window);
  return {
    id: payment.id,
    object: 'payment',
    provider: payment.provider,
    provider_payment_id: payment.providerPaymentId,
    provider_payment_reference: payment.providerPaymentReference,
    amount: payment.amountMinor,
    currency: payment.currency,
    method: payment.method,
    paid_at: new Date(payment.paidAtMs).toISOString(),
    amount_refunded: payment.refundedMinor,
    amount_reserved: payment.reservedMinor,
    amount_external: payment.externalMinor,
    // A provider that is gone from the registry refunds nothing.
    refundable_amount: capabilities ? availableMinor({ payment, capabilities, liveRefunds }) : 0,
    refund_deadline: window ? new Date(window.deadlineMs).toISOString() : null,
    reference: payment.reference,
    metadata: payment.metadata,
    created_at: new Date(payment.createdAtMs).toISOString(),
  };
}
