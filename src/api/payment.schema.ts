import { z } from 'zod';
import { PAYMENT_METHODS } from '../domain/payment.js';
import {
  amountMinor,
  currency,
  instant,
  label,
  metadata,
  printable,
  providerName,
  providerPaymentId,
  REFERENCE_MAX,
} from './field.schema.js';
import { listOf, paging } from './list.schema.js';

const CREDENTIAL_MAX = 8_192;

export const paymentBody = z
  .strictObject({
    provider: providerName,
    provider_payment_id: providerPaymentId,
    amount: amountMinor,
    currency,
    paid_at: instant,
    method: z
      .enum(PAYMENT_METHODS)
      .optional()
      .meta({ description: "By default what the provider's document implies." }),
    reference: label(REFERENCE_MAX).optional(),
    metadata: metadata.optional(),
    provider_payment_reference: label(256).optional().meta({ description: 'PicPay only: its reference_id.' }),
    provider_credentials: z
      .strictObject({ refresh_token: printable(CREDENTIAL_MAX) })
      .optional()
      .meta({ description: "PicPay only: the payer's own token. Never shown again.", writeOnly: true }),
  })
  .meta({
    id: 'PaymentRegistration',
    examples: [
      {
        provider: 'pagou',
        provider_payment_id: 'f3b1a9b0-1c7e-4f8e-9a64-0d3f1f6b2c11',
        amount: 12990,
        currency: 'BRL',
        paid_at: '2026-03-02T14:05:00Z',
        reference: 'order-1042',
      },
    ],
  });

export const listPaymentsQuery = z.strictObject({
  provider: providerName.optional(),
  provider_payment_id: providerPaymentId.optional(),
  ...paging,
});

export const paymentExample = {
  id: 'pay_3ad655zj2crst2yxyt3z2rmwmy',
  object: 'payment',
  provider: 'pagou',
  provider_payment_id: 'f3b1a9b0-1c7e-4f8e-9a64-0d3f1f6b2c11',
  provider_payment_reference: null,
  amount: 12990,
  currency: 'BRL',
  method: 'pix',
  paid_at: '2026-03-02T14:00:00.000Z',
  amount_refunded: 1050,
  amount_reserved: 0,
  amount_external: 0,
  refundable_amount: 11940,
  refund_deadline: '2026-06-01T03:00:00.000Z',
  reference: 'order-1042',
  metadata: { order: '1042' },
  created_at: '2026-03-02T14:01:00.000Z',
};

export const paymentResource = z
  .object({
    id: z.string(),
    object: z.literal('payment'),
    provider: z.string(),
    provider_payment_id: z.string(),
    provider_payment_reference: z.string().nullable(),
    amount: z.int(),
    currency: z.string(),
    method: z.enum(PAYMENT_METHODS),
    paid_at: z.iso.datetime(),
    amount_refunded: z.int(),
    amount_reserved: z.int(),
    amount_external: z.int().meta({ description: 'Money that left the payment without this service.' }),
    refundable_amount: z.int(),
    refund_deadline: z.iso.datetime().nullable().meta({ description: 'Null where no window applies.' }),
    reference: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Payment', examples: [paymentExample] });

export const paymentList = listOf('PaymentList', paymentResource);
