import { z } from 'zod';
import { DIFFERENCE_KINDS } from '../ledger/reconciliations.js';

/** Nothing to say but "now". */
export const reconciliationBody = z
  .strictObject({})
  .optional()
  .meta({ id: 'ReconciliationRequest', examples: [{}] });

const difference = z
  .object({
    kind: z.enum(DIFFERENCE_KINDS),
    payment_id: z.string(),
    refund_id: z.string().nullable().meta({ description: 'Null: it concerns the payment as a whole.' }),
    detail: z.string(),
  })
  .meta({ id: 'Difference' });

export const reconciliationResource = z
  .object({
    id: z.string(),
    object: z.literal('reconciliation'),
    origin: z.enum(['schedule', 'operator']),
    status: z.enum(['running', 'completed']),
    requested_by: z.string(),
    started_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
    payments_read: z.int(),
    payments_unreadable: z.int().meta({ description: 'The provider gave no reading that can be used.' }),
    webhooks_matched: z.int().meta({ description: 'Deliveries that nobody had followed, now read after.' }),
    adopted: z.int().meta({ description: 'Open refunds whose outcome this run saw.' }),
    reversed: z.int(),
    landed_late: z
      .int()
      .meta({ description: 'Ended without money, and shown after all: in review, and counted.' }),
    external_found: z.int().meta({ description: 'Payments of which more had moved without this service.' }),
    disappeared: z.int().meta({ description: 'Succeeded, and not shown any more: in review.' }),
    other_amounts: z
      .int()
      .meta({ description: 'Booked with another amount: in review, and the provider is paused.' }),
    overshoots: z
      .int()
      .meta({ description: 'Payments of which more has gone or is promised than was paid.' }),
    differences_total: z.int(),
    differences: z.array(difference).meta({ description: 'The first 500.' }),
  })
  .meta({
    id: 'Reconciliation',
    examples: [
      {
        id: 'rec_79012bd3985f69382cb94a8e2d11c67d',
        object: 'reconciliation',
        origin: 'operator',
        status: 'completed',
        requested_by: 'otto',
        started_at: '2026-03-02T14:05:00.000Z',
        finished_at: '2026-03-02T14:05:09.000Z',
        payments_read: 120,
        payments_unreadable: 0,
        webhooks_matched: 0,
        adopted: 0,
        reversed: 0,
        landed_late: 0,
        external_found: 1,
        disappeared: 0,
        other_amounts: 0,
        overshoots: 0,
        differences_total: 1,
        differences: [
          {
            kind: 'external',
            payment_id: 'pay_3ad655zj2crst2yxyt3z2rmwmy',
            refund_id: null,
            detail: '1050 more has moved there than is known here.',
          },
        ],
      },
    ],
  });
