/** All that the ledger knows of one refund, as it stood at one instant. */
import type { Selectable } from 'kysely';
import type { Policy } from '../domain/policy.js';
import type { AttemptRow } from './attempts.js';
import type { Break, Coverage } from './audit/trail.js';
import { atOneInstant, verifyRefund } from './audit/verify.js';
import type { Database, LedgerTransaction, Schema } from './database.js';
import { countLiveRefunds } from './payments.js';
import { paymentFromRow } from './payment-row.js';
import { findRefund, type EventRow, type RefundRow } from './refund-reads.js';
import type { PaymentRow } from './refunds.js';

export interface RefundEvidence {
  readonly refund: RefundRow;
  readonly payment: PaymentRow;
  readonly liveRefunds: number;
  /** That it was admitted under; null: it was never kept. */
  readonly policy: Policy | null;
  /** Of all rounds. */
  readonly votes: readonly Selectable<Schema['votes']>[];
  /** What persons asked for beside votes, and what came of it. */
  readonly messages: readonly Selectable<Schema['front_door_messages']>[];
  readonly attempts: readonly AttemptRow[];
  readonly events: readonly EventRow[];
  /** The payment's own trail. */
  readonly paymentEvents: readonly EventRow[];
  readonly verification: { readonly coverage: Coverage; readonly breaks: readonly Break[] };
}

/** Null: there is no such refund. */
export async function readEvidence(db: Database, refundId: string): Promise<RefundEvidence | null> {
  return atOneInstant(db, async (trx) => {
    const refund = await findRefund(trx, refundId);
    if (!refund) return null;
    const payment = await trx
      .selectFrom('payments')
      .selectAll()
      .where('id', '=', refund.payment_id)
      .executeTakeFirstOrThrow();
    const live = await countLiveRefunds(trx, [paymentFromRow(payment)]);
    const events = await ownTrail(trx).where('refund_id', '=', refundId).execute();
    const paymentEvents = await ownTrail(trx)
      .where('payment_id', '=', payment.id)
      .where('refund_id', 'is', null)
      .execute();
    const trails = { ofRefund: events, ofPayment: paymentEvents };
    return {
      refund,
      payment,
      liveRefunds: live.get(payment.id) ?? 0,
      policy: await policyOf(trx, refund.policy_version),
      votes: await votesOf(trx, refundId),
      messages: await messagesOf(trx, refundId),
      attempts: await allAttemptsOf(trx, refundId),
      events,
      paymentEvents,
      verification: await verifyRefund(trx, { refund, payment }, trails),
    };
  });
}

function ownTrail(trx: LedgerTransaction) {
  return trx.selectFrom('refund_events').selectAll().orderBy('sequence');
}

async function policyOf(trx: LedgerTransaction, version: string): Promise<Policy | null> {
  const kept = await trx
    .selectFrom('policies')
    .select('content')
    .where('version', '=', version)
    .executeTakeFirst();
  return kept?.content ?? null;
}

function votesOf(trx: LedgerTransaction, refundId: string): Promise<Selectable<Schema['votes']>[]> {
  return trx
    .selectFrom('votes')
    .selectAll()
    .where('refund_id', '=', refundId)
    .orderBy('voted_at')
    .orderBy('round')
    .orderBy('actor')
    .execute();
}

/** Those that never left too, which no decision asks for. */
function allAttemptsOf(trx: LedgerTransaction, refundId: string): Promise<AttemptRow[]> {
  return trx
    .selectFrom('provider_attempts')
    .selectAll()
    .where('refund_id', '=', refundId)
    .orderBy('number')
    .execute();
}

function messagesOf(
  trx: LedgerTransaction,
  refundId: string,
): Promise<Selectable<Schema['front_door_messages']>[]> {
  return trx
    .selectFrom('front_door_messages')
    .selectAll()
    .where('refund_id', '=', refundId)
    .orderBy('received_at')
    .orderBy('nonce')
    .execute();
}
