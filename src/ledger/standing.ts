import type { OurRefund } from '../domain/matching.js';
import { explainRefunds } from '../domain/matching.js';
import type { PaymentSnapshot } from '../domain/provider.js';
import type { LedgerTransaction } from './database.js';
import { appendPaymentEvent } from './event-chain.js';
import { SERVICE_ACTOR, type PaymentRow } from './refunds.js';

/** What the ledger knows of a payment's refunds; read under the payment's lock. */
export interface Standing {
  /** Landed at the provider and settled or about to be. */
  readonly landed: readonly (OurRefund & { readonly concludedAtMs: number })[];
  /** Attempts whose money may have moved, or may yet. */
  readonly open: readonly { readonly refundId: string; readonly amountMinor: number }[];
  /** Refunds of ours that hold or moved money. */
  readonly liveRefunds: number;
}

export async function standingOf(trx: LedgerTransaction, payment: PaymentRow): Promise<Standing> {
  const attempts = await trx
    .selectFrom('provider_attempts')
    .select(['refund_id', 'amount_minor', 'provider_refund_id', 'conclusion', 'concluded_at'])
    .where('payment_id', '=', payment.id)
    .where((where) => where.or([where('conclusion', 'is', null), where('conclusion', '=', 'landed')]))
    .execute();
  const live = await trx
    .selectFrom('refunds')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('payment_id', '=', payment.id)
    .where('money', 'in', ['reserved', 'refunded'])
    .executeTakeFirstOrThrow();
  return {
    landed: attempts
      .filter((attempt) => attempt.conclusion === 'landed')
      .map((attempt) => ({
        refundId: attempt.refund_id,
        amountMinor: attempt.amount_minor,
        providerRefundId: attempt.provider_refund_id,
        concludedAtMs: attempt.concluded_at?.getTime() ?? 0,
      })),
    open: attempts
      .filter((attempt) => attempt.conclusion === null)
      .map((attempt) => ({ refundId: attempt.refund_id, amountMinor: attempt.amount_minor })),
    liveRefunds: live.count,
  };
}

/**
 * Books what a reading shows as moved without us. Only while no attempt of the payment is open: before that, a new
 * entry may be ours. A reading older than the last settlement may raise the figure, never lower it.
 */
export async function bookExternal(
  trx: LedgerTransaction,
  payment: PaymentRow,
  standing: Standing,
  reading: { snapshot: PaymentSnapshot; readAtMs: number },
): Promise<PaymentRow> {
  if (standing.open.length > 0 || !reading.snapshot.complete) return payment;
  const { externalMinor, external } = explainRefunds(reading.snapshot.refunds, standing.landed);
  const fresh = payment.settled_at === null || reading.readAtMs >= payment.settled_at.getTime();
  const bookedMinor = fresh ? externalMinor : Math.max(externalMinor, payment.external_minor);
  if (bookedMinor === payment.external_minor) return payment;
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
    .set({ external_minor: bookedMinor })
    .where('id', '=', payment.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}
