import { z } from 'zod';
import { REVIEW_OUTCOMES } from '../domain/review.js';
import { printable } from './field.schema.js';

const EVIDENCE_MEMBERS_MAX = 20;
const EVIDENCE_NAME_MAX = 40;
const EVIDENCE_VALUE_MAX = 500;
const EVIDENCE_TEXT_MAX = 2_000;

export const resolutionBody = z
  .strictObject({
    outcome: z.enum(REVIEW_OUTCOMES).meta({
      description:
        'succeeded: the money moved. failed: it did not, and will not. resend: the provider knows nothing of it, send it once more.',
    }),
    evidence: z
      .union([
        printable(EVIDENCE_TEXT_MAX),
        z
          .record(printable(EVIDENCE_NAME_MAX), printable(EVIDENCE_VALUE_MAX))
          .refine((facts) => {
            const { length } = Object.keys(facts);
            return length >= 1 && length <= EVIDENCE_MEMBERS_MAX;
          }, `must have 1 to ${EVIDENCE_MEMBERS_MAX} members`)
          .meta({ minProperties: 1, maxProperties: EVIDENCE_MEMBERS_MAX }),
      ])
      .meta({ description: 'What the decision rests on, kept in the trail.' }),
  })
  .meta({
    id: 'ReviewResolution',
    examples: [{ outcome: 'failed', evidence: { ticket: 'EF-2291', said: 'no refund was booked' } }],
  });

export type ResolutionBody = z.output<typeof resolutionBody>;

const shownRefund = z.object({
  provider_refund_id: z.string().nullable(),
  amount: z.int(),
  status: z.enum(['succeeded', 'processing', 'rejected', 'unclear', 'unknown']),
  provider_status: z.string(),
});

const attempt = z.object({
  number: z.int(),
  claimed_at: z.iso.datetime(),
  send_by: z.iso.datetime(),
  sends: z.int(),
  last_sent_at: z.iso.datetime().nullable(),
  idempotency_key: z.string().meta({ description: 'As it was sent; the provider may find the call by it.' }),
  amount: z.int(),
  shown_before: z
    .object({ payment_status: z.string(), refunds: z.array(shownRefund) })
    .meta({ description: 'What the provider showed right before the call.' }),
  answer: z
    .object({
      kind: z.enum(['done', 'accepted', 'declined', 'notNow', 'unknown']),
      provider_status: z.string().nullable(),
      error: z.object({ code: z.string(), message: z.string() }).nullable(),
    })
    .nullable(),
  resend_after: z.iso.datetime().nullable(),
  found: z
    .object({
      provider_refund_id: z.string().nullable(),
      matched_by: z.enum(['id', 'amount', 'status']).nullable(),
    })
    .nullable(),
  absent_reads: z.array(z.iso.datetime()),
  conclusion: z.enum(['landed', 'declined', 'not_sent', 'absent', 'other_amount']).nullable(),
});

export const reviewResource = z
  .object({
    object: z.literal('review'),
    refund_id: z.string(),
    in_review: z.boolean(),
    reason: z.string().nullable(),
    since: z.iso.datetime().nullable(),
    ends_by: z
      .enum(['provider', 'person'])
      .nullable()
      .meta({ description: 'provider: it also leaves by itself, once the provider decides.' }),
    requested_by: z.string(),
    amount: z.int(),
    currency: z.string(),
    attempts: z.array(attempt),
    provider_shows: z
      .object({
        read_at: z.iso.datetime(),
        payment_status: z.string(),
        refunds: z.array(
          shownRefund.extend({
            ours: z
              .object({ refund_id: z.string(), attempt: z.int(), by: z.enum(['id', 'amount']) })
              .nullable()
              .meta({
                description: 'Which refund here explains it; null: none that is known to have landed.',
              }),
          }),
        ),
        refunded_in_all: z
          .int()
          .nullable()
          .meta({ description: 'Where the provider shows a total in place of a list.' }),
        complete: z.boolean(),
        explains: z.string().meta({ description: 'What that says of this refund.' }),
      })
      .nullable(),
    provider_unread: z.string().nullable().meta({ description: 'Why the provider could not be read.' }),
    to_do: z.array(z.string()),
    never_do: z.array(z.string()),
    outcomes: z
      .array(z.object({ outcome: z.enum(REVIEW_OUTCOMES), allowed: z.boolean(), why: z.string().nullable() }))
      .meta({ description: 'As things stand now; a resolution reads and judges again.' }),
  })
  .meta({
    id: 'Review',
    examples: [
      {
        object: 'review',
        refund_id: 'rfd_nbnrw488hqkbrvpm1m9p338zze',
        in_review: false,
        reason: null,
        since: null,
        ends_by: null,
        requested_by: 'rita',
        amount: 1050,
        currency: 'BRL',
        attempts: [],
        provider_shows: null,
        provider_unread: 'The provider did not answer.',
        to_do: [],
        never_do: [],
        outcomes: [{ outcome: 'failed', allowed: false, why: 'It is not in review.' }],
      },
    ],
  });
