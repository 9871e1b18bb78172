import { UNTROUBLED, type Breaker, type Operation } from '../domain/breaker.js';
import type { PendingReason } from '../domain/refund.js';
import type { Database } from './database.js';
import { toBreaker } from './provider-gates.js';

/** What the ledger knows of a provider's state, for people who look. */
export interface ProviderState {
  readonly breakers: Readonly<Record<Operation, Breaker>>;
  /** Null: nothing is paused. */
  readonly pause: { readonly atMs: number; readonly actor: string; readonly reason: string } | null;
  /** Refunds that are pending with nothing sent, by currency. */
  readonly waiting: readonly {
    readonly currency: string;
    readonly refunds: number;
    readonly amountMinor: number;
  }[];
}

const UNSENT: readonly PendingReason[] = [
  'validating',
  'queued',
  'insufficient_balance',
  'provider_unavailable',
  'authorization_required',
];

/** In the order of `providers`. */
export async function statesOfProviders(
  db: Database,
  providers: readonly string[],
): Promise<readonly (ProviderState & { readonly provider: string })[]> {
  const [breakers, switches, waiting] = await Promise.all([
    db.selectFrom('breakers').selectAll().where('provider', 'in', providers).execute(),
    db.selectFrom('provider_switches').selectAll().where('provider', 'in', providers).execute(),
    db
      .selectFrom('refunds')
      .select((select) => [
        'provider',
        'currency',
        select.fn.countAll<number>().as('refunds'),
        select.cast<number>(select.fn.sum('amount_minor'), 'bigint').as('amountMinor'),
      ])
      .where('provider', 'in', providers)
      .where('status', '=', 'pending')
      .where('pending_reason', 'in', UNSENT)
      .groupBy(['provider', 'currency'])
      .orderBy('currency')
      .execute(),
  ]);
  return providers.map((provider) => {
    const isIts = (row: { provider: string }): boolean => row.provider === provider;
    const breakerOf = (operation: Operation): Breaker => {
      const row = breakers.filter(isIts).find((breaker) => breaker.operation === operation);
      return row ? toBreaker(row) : UNTROUBLED;
    };
    const paused = switches.find((row) => isIts(row) && row.paused_at !== null);
    return {
      provider,
      breakers: { read: breakerOf('read'), submit: breakerOf('submit') },
      pause: paused?.paused_at
        ? { atMs: paused.paused_at.getTime(), actor: paused.actor, reason: paused.reason }
        : null,
      waiting: waiting
        .filter(isIts)
        .map(({ currency, refunds, amountMinor }) => ({ currency, refunds, amountMinor })),
    };
  });
}
