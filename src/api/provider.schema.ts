import { z } from 'zod';
import { DESCRIPTION_MAX, printable } from './field.schema.js';
import { listOf } from './list.schema.js';

/** Absent or empty: nobody said why. */
export const switchBody = z
  .strictObject({ reason: printable(DESCRIPTION_MAX).optional() })
  .optional()
  .meta({ id: 'ProviderSwitch', examples: [{ reason: 'Refunds show with another amount in the panel.' }] });

const state = z.enum(['closed', 'open', 'half_open']);

const breaker = z
  .object({
    state: state.meta({ description: '`half_open`: the next call is a probe.' }),
    failures: z.int().meta({ description: 'In a row.' }),
    since: z.iso.datetime().nullable().meta({ description: 'Open since then.' }),
    next_probe_at: z.iso.datetime().nullable(),
    held_until: z.iso
      .datetime()
      .nullable()
      .meta({ description: 'The provider asked for no calls until then (`Retry-After`).' }),
  })
  .meta({ id: 'Breaker' });

const closedBreaker = { state: 'closed', failures: 0, since: null, next_probe_at: null, held_until: null };

export const providerResource = z
  .object({
    object: z.literal('provider'),
    provider: z.string(),
    on: z.boolean().meta({ description: 'Its credentials are set.' }),
    breaker: state.meta({ description: 'The worse of the two.' }),
    breakers: z.object({ read: breaker, submit: breaker }),
    paused: z.boolean().meta({ description: 'Nothing is sent there; reading goes on.' }),
    paused_at: z.iso.datetime().nullable(),
    paused_by: z.string().nullable(),
    paused_reason: z.string().nullable(),
    waiting_refunds: z.int().meta({ description: 'Pending, with nothing sent yet.' }),
    waiting_amount: z
      .int()
      .nullable()
      .meta({ description: 'Their sum; null where they are of several currencies.' }),
    currency: z.string().nullable().meta({ description: 'Of that sum.' }),
    waiting: z.array(z.object({ currency: z.string(), refunds: z.int(), amount: z.int() })),
  })
  .meta({
    id: 'ProviderState',
    examples: [
      {
        object: 'provider',
        provider: 'pagou',
        on: true,
        breaker: 'closed',
        breakers: { read: closedBreaker, submit: closedBreaker },
        paused: true,
        paused_at: '2026-03-02T14:05:00.000Z',
        paused_by: 'otto',
        paused_reason: 'Refunds show with another amount in the panel.',
        waiting_refunds: 2,
        waiting_amount: 2100,
        currency: 'BRL',
        waiting: [{ currency: 'BRL', refunds: 2, amount: 2100 }],
      },
    ],
  });

export const providerList = listOf('ProviderStateList', providerResource);
