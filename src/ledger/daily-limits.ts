import { sql } from 'kysely';
import type { DailyLimits } from '../domain/eligibility.js';
import type { Policy } from '../domain/policy.js';
import type { Database, LedgerTransaction } from './database.js';

export interface LimitedRefund {
  readonly actor: string;
  readonly provider: string;
  /** A limit counts each currency for itself. */
  readonly currency: string;
  /** 00:00 of today in the policy's zone. */
  readonly dayStartMs: number;
  readonly limits: Policy['limits'];
}

/**
 * What is used of the limits that are set, under a lock for each that the transaction keeps to its end: of two
 * admissions the second sees what the first one reserved. Always the actor's lock first, and after the payment's row.
 */
export async function usedToday(trx: LedgerTransaction, refund: LimitedRefund): Promise<DailyLimits> {
  const { actor, provider, currency, limits } = refund;
  if (limits.dailyByActorMinor !== null) await lockLimit(trx, `actor/${currency}/${actor}`);
  if (limits.dailyByProviderMinor !== null) await lockLimit(trx, `provider/${currency}/${provider}`);
  return usedSoFar(trx, refund);
}

/** The same without locks, for who only wants to know. */
export async function usedSoFar(
  db: Database | LedgerTransaction,
  refund: LimitedRefund,
): Promise<DailyLimits> {
  const { dailyByActorMinor, dailyByProviderMinor } = refund.limits;
  return {
    byActor:
      dailyByActorMinor === null
        ? null
        : { limitMinor: dailyByActorMinor, usedMinor: await usedMinor(db, refund, 'requested_by') },
    byProvider:
      dailyByProviderMinor === null
        ? null
        : { limitMinor: dailyByProviderMinor, usedMinor: await usedMinor(db, refund, 'provider') },
  };
}

async function usedMinor(
  db: Database | LedgerTransaction,
  { actor, provider, currency, dayStartMs }: LimitedRefund,
  by: 'requested_by' | 'provider',
): Promise<number> {
  const { used } = await db
    .selectFrom('refunds')
    .select(sql<number>`coalesce(sum(amount_minor), 0)::bigint`.as('used'))
    .where(by, '=', by === 'provider' ? provider : actor)
    .where('currency', '=', currency)
    .where('created_at', '>=', new Date(dayStartMs))
    .where('money', '<>', 'released')
    .executeTakeFirstOrThrow();
  return used;
}

/** A statement of its own: the sum that follows must see what the lock's last holder committed. */
async function lockLimit(trx: LedgerTransaction, limit: string): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${`daily-limit/${limit}`}, 0))`.execute(trx);
}
