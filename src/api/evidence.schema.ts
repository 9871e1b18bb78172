import { z } from 'zod';
import { VOTE_DECISIONS } from '../domain/vote.js';
import { eventExample, eventResource } from './event.schema.js';
import { paymentExample, paymentResource } from './payment.schema.js';
import { refundExample, refundResource } from './refund.schema.js';

const sealedEvent = z
  .object({
    ...eventResource.shape,
    mac: z.string().nullable().meta({
      description: '`v1.<key id>.<base64url>`; null: it was written without AUDIT_KEYS.',
    }),
  })
  .meta({ id: 'SealedEvent' });

const shownRefund = z.object({
  provider_refund_id: z.string().nullable(),
  amount: z.int(),
  status: z.string(),
  provider_status: z.string(),
});

const attempt = z.object({
  number: z.int(),
  amount: z.int(),
  idempotency_key: z.string(),
  claimed_at: z.iso.datetime(),
  send_by: z.iso.datetime(),
  sends: z.int().meta({ description: 'How often bytes may have left.' }),
  last_sent_at: z.iso.datetime().nullable(),
  shown_before: z
    .object({
      read_at: z.iso.datetime(),
      payment_status: z.string(),
      amount: z.int().nullable(),
      currency: z.string().nullable(),
      method: z.string().nullable(),
      paid_at: z.iso.datetime().nullable(),
      refunds: z.array(shownRefund),
      refunded_in_all: z.int().nullable(),
      complete: z.boolean(),
    })
    .meta({ description: 'What the provider showed right before the call.' }),
  answer: z.record(z.string(), z.unknown()).nullable(),
  provider_refund_id: z.string().nullable(),
  matched_by: z.enum(['id', 'amount', 'status']).nullable(),
  evidence: z.record(z.string(), z.unknown()).nullable(),
  absent_reads: z.array(z.iso.datetime()),
  doubts: z.array(z.record(z.string(), z.unknown())),
  conclusion: z.enum(['landed', 'declined', 'not_sent', 'absent', 'other_amount']).nullable(),
  concluded_at: z.iso.datetime().nullable(),
});

const verification = z.object({
  result: z.enum(['whole', 'partly_covered', 'not_covered', 'broken']).meta({
    description:
      'whole: every MAC fits. partly_covered, not_covered: no break, and some or all events have no MAC that could be checked. broken: something was changed.',
  }),
  events: z.int(),
  covered: z.int().meta({ description: 'Their own MAC was checked, and fits.' }),
  without_mac: z.int(),
  unchecked: z.int().meta({ description: 'They have a MAC, and AUDIT_KEYS is not set here.' }),
  unknown_keys: z
    .record(z.string(), z.int())
    .meta({ description: 'How many by each key that is not in AUDIT_KEYS.' }),
  breaks: z.array(
    z.object({
      trail: z.enum(['refund', 'payment']),
      id: z.string(),
      sequence: z.int().nullable(),
      what: z.string(),
    }),
  ),
});

export const evidenceResource = z
  .object({
    object: z.literal('refund_evidence'),
    generated_at: z.iso.datetime(),
    refund: refundResource,
    requested_by: z.string(),
    request_id: z.string(),
    payment: paymentResource,
    policy: z.object({
      version: z.string(),
      content: z
        .record(z.string(), z.unknown())
        .nullable()
        .meta({ description: 'Null: this version was not kept.' }),
    }),
    votes: z
      .array(
        z.object({
          round: z.int(),
          actor: z.string(),
          decision: z.enum(VOTE_DECISIONS),
          comment: z.string().nullable(),
          content_hash: z.string(),
          proof: z.string(),
          request_id: z.string(),
          created_at: z.iso.datetime(),
        }),
      )
      .meta({ description: 'Of all rounds, oldest first.' }),
    messages: z
      .array(
        z.object({
          action: z.enum(['approve', 'reject', 'cancel', 'extend', 'resolve']),
          actor: z.string(),
          proof: z.string(),
          outcome: z.unknown(),
          received_at: z.iso.datetime(),
        }),
      )
      .meta({ description: 'What persons asked of it, and what came of that.' }),
    attempts: z.array(attempt),
    events: z.array(sealedEvent).meta({ description: 'The whole trail, oldest first.' }),
    payment_events: z.array(sealedEvent).meta({ description: "The payment's own trail." }),
    verification,
  })
  .meta({
    id: 'RefundEvidence',
    examples: [
      {
        object: 'refund_evidence',
        generated_at: '2026-03-03T09:00:00.000Z',
        refund: refundExample,
        requested_by: 'rita',
        request_id: 'req_f3de6285abee93bd99d33094',
        payment: paymentExample,
        policy: { version: '075a671a59a4', content: null },
        votes: [],
        messages: [],
        attempts: [],
        events: [{ ...eventExample, mac: 'v1.k1.MFdJiWbWU_Odl8KXNoQMnjXZXI0IaHe63OaLpTvgkso' }],
        payment_events: [],
        verification: {
          result: 'whole',
          events: 1,
          covered: 1,
          without_mac: 0,
          unchecked: 0,
          unknown_keys: {},
          breaks: [],
        },
      },
    ],
  });

export type Evidence = z.output<typeof evidenceResource>;
