import type { OurRefund } from '../domain/matching.js';
import { explainReading } from '../domain/matching.js';
import { sumMinor } from '../domain/money.js';
import type { PaymentSnapshot } from '../domain/provider.js';
import type { LedgerTransaction } from './database.js';
import { appendPaymentEvent } from './event-chain.js';
import { fixedQuery } from './fixed-query.js';
import { SERVICE_ACTOR, type PaymentRow, type RefundRow } from './refunds.js';

/** What the ledger knows of a payment's refunds; read under the payment's lock. */
export interface Standing {
  /** Landed at the provider and settled or about to be. */
  readonly landed: readonly Landing[];
  /** Attempts whose money may have moved, or may yet. */
  readonly open: readonly {
    readonly refundId: string;
    readonly number: number;
    readonly amountMinor: number;
  }[];
  /** Refunds of ours that hold or moved money. */
  readonly liveRefunds: number;
}

export interface Landing extends OurRefund {
  readonly number: number;
  readonly concludedAtMs: number;
  /** False: still inside the payment's reserved amount. */
  readonly settled: boolean;
}

/** With what landed when no reservation waited for it any more: ours by origin, counted as external. */
export interface FullStanding extends Standing {
  readonly landedLate: readonly Landing[];
  /** The provider's ids that attempts of ours have, whatever became of them. */
  readonly owned: readonly {
    readonly refundId: string;
    readonly number: number;
    readonly providerRefundId: string;
  }[];
}

/** One statement, by the payment's refunds: their attempts have no index by payment, which each of them would pay for. */
export async function standingOf(trx: LedgerTransaction, payment: PaymentRow): Promise<FullStanding> {
  const rows = await refundsWithAttempts(trx, { paymentId: payment.id });
  const attempts = rows.flatMap(({ number, amount_minor: amountMinor, ...row }) =>
    number === null || amountMinor === null ? [] : [{ ...row, number, amountMinor }],
  );
  const landings = attempts
    .filter((attempt) => attempt.conclusion === 'landed')
    .map((attempt, at, all) => ({
      refundId: attempt.refund_id,
      number: attempt.number,
      amountMinor: attempt.amountMinor,
      providerRefundId: attempt.provider_refund_id,
      concludedAtMs: attempt.concluded_at?.getTime() ?? 0,
      settled: attempt.money === 'refunded',
      // A refund's money covers one landing.
      late: attempt.money === 'released' || all[at - 1]?.refund_id === attempt.refund_id,
    }));
  const live = new Set(rows.flatMap((row) => (row.money === 'released' ? [] : [row.refund_id])));
  return {
    landed: landings.filter((landing) => !landing.late),
    landedLate: landings.filter((landing) => landing.late),
    owned: attempts.flatMap(({ refund_id: refundId, number, provider_refund_id: providerRefundId }) =>
      providerRefundId === null ? [] : [{ refundId, number, providerRefundId }],
    ),
    open: attempts
      .filter((attempt) => attempt.conclusion === null)
      .map((attempt) => ({
        refundId: attempt.refund_id,
        number: attempt.number,
        amountMinor: attempt.amountMinor,
      })),
    liveRefunds: live.size,
  };
}

const refundsWithAttempts = fixedQuery((trx, given: { paymentId: string }) =>
  trx
    .selectFrom('refunds')
    .leftJoin('provider_attempts as attempt', (join) =>
      join
        .onRef('attempt.refund_id', '=', 'refunds.id')
        .on((on) =>
          on.or([
            on('conclusion', 'is', null),
            on('conclusion', '=', 'landed'),
            on('attempt.provider_refund_id', 'is not', null),
          ]),
        ),
    )
    .select(['refunds.id as refund_id', 'refunds.money'])
    .select(['attempt.number', 'attempt.amount_minor', 'attempt.provider_refund_id'])
    .select(['attempt.conclusion', 'attempt.concluded_at'])
    .where('refunds.payment_id', '=', given.paymentId)
    .orderBy('refunds.id')
    .orderBy('attempt.number'),
);

/**
 * Books what a reading shows as moved without us. Only while no attempt of the payment is open: before that, a new
 * entry may be ours. A reading that is older than what the ledger knows, or lacks it, may raise the figure, never
 * lower it; one that only shows less lowers it where another said the same `quietMs` before.
 */
export async function bookExternal(
  trx: LedgerTransaction,
  payment: PaymentRow,
  standing: Standing,
  reading: { snapshot: PaymentSnapshot; readAtMs: number; quietMs?: number },
): Promise<PaymentRow> {
  if (standing.open.length > 0 || !reading.snapshot.complete) return payment;
  const { externalMinor, external, missing } = explainReading(reading.snapshot, standing.landed);
  const knownSinceMs = Math.max(payment.settled_at?.getTime() ?? 0, payment.external_read_at?.getTime() ?? 0);
  const lacksNothing = missing.length === 0 && reading.readAtMs >= knownSinceMs;
  const isLess = showsLess(reading.snapshot, standing, payment.external_minor);
  const doubt = lacksNothing && isLess ? { externalMinor, readAtMs: reading.readAtMs } : null;
  const fresh = lacksNothing && (!isLess || isConfirmed(payment.external_doubt, reading, externalMinor));
  const bookedMinor = fresh ? externalMinor : Math.max(externalMinor, payment.external_minor);
  if (bookedMinor === payment.external_minor) return noteDoubt(trx, payment, doubt, reading.quietMs);
  await appendPaymentEvent(trx, {
    paymentId: payment.id,
    type: 'external_refunds_seen',
    origin: 'provider',
    actor: SERVICE_ACTOR,
    reason: null,
    requestId: null,
    occurredAtMs: reading.readAtMs,
    data: { external_minor: bookedMinor, was_minor: payment.external_minor, shown: external },
  });
  return trx
    .updateTable('payments')
    .set({
      external_minor: bookedMinor,
      external_doubt: null,
      external_read_at: new Date(Math.max(reading.readAtMs, knownSinceMs)),
    })
    .where('id', '=', payment.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

function isConfirmed(
  doubt: ExternalDoubt | null,
  reading: { readAtMs: number; quietMs?: number },
  externalMinor: number,
): boolean {
  if (doubt === null || reading.quietMs === undefined) return false;
  return doubt.externalMinor === externalMinor && reading.readAtMs - doubt.readAtMs >= reading.quietMs;
}

/** Only who comes back a quiet time later puts in doubt; the first reading that says so counts. */
async function noteDoubt(
  trx: LedgerTransaction,
  payment: PaymentRow,
  doubt: ExternalDoubt | null,
  quietMs: number | undefined,
): Promise<PaymentRow> {
  const known = payment.external_doubt;
  if (quietMs === undefined || known?.externalMinor === doubt?.externalMinor) return payment;
  return trx
    .updateTable('payments')
    .set({ external_doubt: doubt === null ? null : JSON.stringify(doubt) })
    .where('id', '=', payment.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The external figure of a complete reading that lay below what was known, and the reading's instant. */
export interface ExternalDoubt {
  readonly externalMinor: number;
  readonly readAtMs: number;
}

/** Money of an attempt that no longer counts as its refund's: it has moved all the same. */
export async function addExternal(
  trx: LedgerTransaction,
  { refund, addedMinor, readAtMs }: { refund: RefundRow; addedMinor: number; readAtMs: number },
): Promise<void> {
  const { external_minor: externalMinor } = await trx
    .updateTable('payments')
    .set((set) => ({
      external_minor: set('external_minor', '+', addedMinor),
      external_read_at: new Date(readAtMs),
    }))
    .where('id', '=', refund.payment_id)
    .returning('external_minor')
    .executeTakeFirstOrThrow();
  await appendPaymentEvent(trx, {
    paymentId: refund.payment_id,
    type: 'external_refunds_seen',
    origin: 'provider',
    actor: SERVICE_ACTOR,
    reason: 'of_a_refund',
    requestId: null,
    occurredAtMs: readAtMs,
    data: {
      external_minor: externalMinor,
      was_minor: externalMinor - addedMinor,
      refund_id: refund.id,
    },
  });
}

/**
 * What the ledger had booked as moved without us turns out to be a refund's of ours: it must not count twice. `standing`
 * is from before that was known.
 */
export async function unbookOurs(
  trx: LedgerTransaction,
  payment: PaymentRow,
  standing: Standing,
  oursMinor: number,
  { snapshot, nowMs }: { snapshot: PaymentSnapshot; nowMs: number },
): Promise<void> {
  const { externalMinor } = explainReading(snapshot, standing.landed);
  const isBooked = oursMinor <= externalMinor && externalMinor <= payment.external_minor;
  if (!isBooked) return;
  const leftMinor = payment.external_minor - oursMinor;
  await appendPaymentEvent(trx, {
    paymentId: payment.id,
    type: 'external_refunds_seen',
    origin: 'provider',
    actor: SERVICE_ACTOR,
    reason: 'one_is_ours',
    requestId: null,
    occurredAtMs: nowMs,
    data: { external_minor: leftMinor, was_minor: payment.external_minor, ours_minor: oursMinor },
  });
  await trx.updateTable('payments').set({ external_minor: leftMinor }).where('id', '=', payment.id).execute();
}

/**
 * True where a reading holds less than went back already, ours and others': an entry is missing, though which one can't
 * be told where equal amounts have no ids. An entry that shows as rejected is not missing.
 */
export function showsLess(
  reading: Pick<PaymentSnapshot, 'refunds' | 'totalOnlyMinor'>,
  standing: Standing,
  externalMinor: number,
): boolean {
  const shownMinor = reading.totalOnlyMinor ?? sumMinor(reading.refunds);
  return shownMinor < sumMinor(standing.landed) + externalMinor;
}
