import { z } from 'zod';
import { AMOUNT_MINOR_MAX } from '../domain/money.js';
import {
  EVIDENCE_SOURCES,
  FAILURE_REASONS,
  PENDING_REASONS,
  REFUND_REASONS,
  REFUND_STATUSES,
} from '../domain/refund.js';
import { approvalResource } from './approval.schema.js';
import {
  amountMinor,
  currency,
  DESCRIPTION_MAX,
  instant,
  label,
  metadata,
  printable,
  providerName,
  providerPaymentId,
  REFERENCE_MAX,
  resourceId,
} from './field.schema.js';
import { listOf, paging } from './list.schema.js';

export const refundBody = z
  .strictObject({
    payment_id: resourceId.optional(),
    provider: providerName.optional(),
    provider_payment_id: providerPaymentId.optional(),
    amount: amountMinor
      .optional()
      .meta({ description: 'In minor units (centavos). Absent: all that is refundable.' }),
    currency: currency.optional(),
    reason: z.enum(REFUND_REASONS),
    description: printable(DESCRIPTION_MAX).optional(),
    reference: label(REFERENCE_MAX)
      .optional()
      .meta({ description: 'Yours; unique a payment among refunds that are open or moved money.' }),
    metadata: metadata.optional(),
    expected_refundable_amount: z
      .int()
      .min(0)
      .max(AMOUNT_MINOR_MAX)
      .optional()
      .meta({ description: 'Refuse with 412 when another amount is refundable.' }),
  })
  .superRefine((body, context) => {
    const refuse = (member: string, message: string) => {
      context.addIssue({ code: 'custom', path: [member], message });
    };
    const byProvider = body.provider !== undefined || body.provider_payment_id !== undefined;
    if (body.payment_id !== undefined) {
      if (byProvider) refuse('payment_id', 'payment_id excludes provider and provider_payment_id');
      return;
    }
    if (!byProvider) {
      refuse('payment_id', 'name the payment: payment_id, or provider and provider_payment_id');
    } else if (body.provider === undefined) refuse('provider', 'is missing');
    else if (body.provider_payment_id === undefined) refuse('provider_payment_id', 'is missing');
  })
  .meta({
    id: 'RefundRequest',
    oneOf: [
      {
        required: ['payment_id'],
        not: { anyOf: [{ required: ['provider'] }, { required: ['provider_payment_id'] }] },
      },
      { required: ['provider', 'provider_payment_id'], not: { required: ['payment_id'] } },
    ],
    examples: [
      { payment_id: 'pay_01j9z', amount: 1050, reason: 'requested_by_customer', reference: 'ticket-77' },
    ],
  });

export type RefundBody = z.output<typeof refundBody>;

export const refundQuery = z.strictObject({
  refresh: z
    .enum(['true', 'false'])
    .optional()
    .meta({ description: 'Ask the provider first, at most once in 5 s; only while the refund is open.' }),
});

export const listRefundsQuery = z.strictObject({
  status: z.enum(REFUND_STATUSES).optional(),
  provider: providerName.optional(),
  payment_id: resourceId.optional(),
  reference: label(REFERENCE_MAX).optional(),
  'created[gte]': instant.optional(),
  'created[lt]': instant.optional(),
  ...paging,
});

/** Also where others show a refund. */
export const refundExample = {
  id: 'rfd_nbnrw488hqkbrvpm1m9p338zze',
  object: 'refund',
  payment_id: 'pay_3ad655zj2crst2yxyt3z2rmwmy',
  provider: 'pagou',
  provider_payment_id: 'f3b1a9b0-1c7e-4f8e-9a64-0d3f1f6b2c11',
  provider_refund_id: null,
  amount: 1050,
  currency: 'BRL',
  reason: 'requested_by_customer',
  description: null,
  reference: 'ticket-77',
  metadata: { order: '1042' },
  status: 'succeeded',
  pending_reason: null,
  failure_reason: null,
  provider_error: null,
  approval: null,
  refund_deadline: '2026-06-01T03:00:00.000Z',
  evidence: { source: 'poll', observed_at: '2026-03-02T14:05:03.000Z', provider_status: '6' },
  workflow_id: 'refund/rfd_nbnrw488hqkbrvpm1m9p338zze',
  version: 4,
  created_at: '2026-03-02T14:05:00.000Z',
  updated_at: '2026-03-02T14:05:03.120Z',
};

export const refundResource = z
  .object({
    id: z.string(),
    object: z.literal('refund'),
    payment_id: z.string(),
    provider: z.string(),
    provider_payment_id: z.string(),
    provider_refund_id: z.string().nullable(),
    amount: z.int(),
    currency: z.string(),
    reason: z.enum(REFUND_REASONS),
    description: z.string().nullable(),
    reference: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    status: z.enum(REFUND_STATUSES),
    pending_reason: z.enum(PENDING_REASONS).nullable(),
    failure_reason: z.enum(FAILURE_REASONS).nullable(),
    provider_error: z.object({ code: z.string(), message: z.string() }).nullable(),
    approval: approvalResource.nullable().meta({ description: 'Null: nobody need agree.' }),
    refund_deadline: z.iso.datetime().nullable(),
    evidence: z
      .object({
        source: z.enum(EVIDENCE_SOURCES),
        observed_at: z.iso.datetime(),
        provider_status: z.string(),
      })
      .nullable(),
    workflow_id: z.string(),
    version: z.int().meta({ description: 'Only grows.' }),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'Refund', examples: [refundExample] });

export const refundList = listOf('RefundList', refundResource);

export const previewResource = z
  .object({
    object: z.literal('refund_preview'),
    eligible: z.boolean(),
    amount: z.int(),
    currency: z.string(),
    refundable_amount: z.int(),
    refund_deadline: z.iso.datetime().nullable(),
    provider_read: z.enum(['read', 'not_found', 'unavailable', 'unreadable', 'off']).meta({
      description: 'Whether the provider could be asked; without its answer the ledger alone decides.',
    }),
    rules: z.array(
      z.object({
        code: z.string(),
        passed: z.boolean(),
        detail: z.string(),
        numbers: z.record(z.string(), z.union([z.number(), z.string(), z.null()])),
      }),
    ),
    approval: z.object({ required: z.int() }),
  })
  .meta({
    id: 'RefundPreview',
    examples: [
      {
        object: 'refund_preview',
        eligible: false,
        amount: 20000,
        currency: 'BRL',
        refundable_amount: 11940,
        refund_deadline: '2026-06-01T03:00:00.000Z',
        provider_read: 'read',
        rules: [
          {
            code: 'amount_exceeds_available',
            passed: false,
            detail: 'The amount exceeds what is refundable.',
            numbers: { amount: 20000, refundable_amount: 11940 },
          },
        ],
        approval: { required: 0 },
      },
    ],
  });
