import { quietFromMs, type AbsenceBounds } from '../domain/absence.js';
import { isOpen, REFUND_STATUSES } from '../domain/refund.js';
import { judgeSettled } from './after-the-end.js';
import type { AttemptSnapshot } from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import { matchDeliveries } from './inbox.js';
import { lookWithin } from './looks.js';
import { noteFindings, type Difference } from './reconciliations.js';
import type { PaymentRow } from './refunds.js';
import { bookExternal, standingOf } from './standing.js';
import { storable } from './storable-text.js';
import { noticeWrittenOff } from './written-off.js';

/** One reading of a payment, with what it is to be judged by. */
export interface PaymentReading {
  readonly paymentId: string;
  readonly reading: AttemptSnapshot;
  readonly onlyOneRefund: boolean;
  readonly bounds: Pick<AbsenceBounds, 'providerTimeoutMs' | 'quietMs'>;
  /** The run whose report tells of the differences; null: none does. */
  readonly reconciliationId: string | null;
  readonly nowMs: number;
}

export interface Reconciled {
  readonly differences: readonly Difference[];
  /** Their attempts were decided: the running workflows may settle them. */
  readonly hintRefundIds: readonly string[];
  /** They wait unsent, and less may be left for them. */
  readonly retryRefundIds: readonly string[];
  /** When another reading can decide what this one put in doubt; null: it put nothing in doubt. */
  readonly readAgainAtMs: number | null;
}

const OPEN_STATUSES = REFUND_STATUSES.filter(isOpen);

/**
 * Compares a whole payment with what its provider shows, and writes what follows. Safe to repeat. A refund that is
 * open is never settled here: what the reading shows of it is stored, and its own workflow acts on that.
 */
export async function reconcilePayment(db: Database, asRead: PaymentReading): Promise<Reconciled> {
  const read = { ...asRead, reading: storable(asRead.reading) };
  return db.transaction().execute(async (trx) => {
    const before = await lockPayment(trx, read.paymentId);
    const found: Difference[] = await lookAtOpen(trx, read);
    await noteLooked(trx, read);
    let readAgainAtMs: number | null = null;
    let matched = 0;
    if (isUsable(read.reading)) {
      found.push(...(await noticeWrittenOff(trx, read)));
      const judged = await judgeSettled(trx, read);
      const external = await noteExternal(trx, read);
      found.push(...judged.differences, ...external.differences);
      readAgainAtMs = judged.readAgainAtMs ?? external.readAgainAtMs;
      matched = await matchDeliveries(trx, before, read.reading.readAtMs, read.nowMs);
    }
    if (read.reconciliationId !== null) await noteFindings(trx, read.reconciliationId, found, matched);
    const decided = found.filter(({ kind }) => kind === 'adopted' || kind === 'other_amount');
    const decidedIds = decided.flatMap(({ refundId }) => refundId ?? []);
    const lessIsLeft = found.some(({ kind }) => kind === 'external' || kind === 'overshoot');
    return {
      differences: found,
      hintRefundIds: decidedIds,
      // One that waits unsent heeds no hint.
      retryRefundIds: [...decidedIds, ...(lessIsLeft ? await unsentRefunds(trx, read.paymentId) : [])],
      readAgainAtMs,
    };
  });
}

/** A list that may be cut shows nothing by what it lacks, and a status that no document lists may mean anything. */
function isUsable(reading: AttemptSnapshot): boolean {
  return reading.complete && reading.status !== 'unknown';
}

/** The open attempts, each as its own workflow would look for it. */
async function lookAtOpen(trx: LedgerTransaction, read: PaymentReading): Promise<Difference[]> {
  const open = await trx
    .selectFrom('provider_attempts')
    .innerJoin('refunds', 'refunds.id', 'provider_attempts.refund_id')
    .select(['refunds.id', 'provider_attempts.send_by'])
    .where('provider_attempts.payment_id', '=', read.paymentId)
    .where('provider_attempts.conclusion', 'is', null)
    .where('refunds.status', 'in', OPEN_STATUSES)
    .orderBy('refunds.id')
    .execute();
  const decided: Difference[] = [];
  for (const { id: refundId, send_by: sendBy } of open) {
    // A reading from while the call may have been under way would show less than the answer says.
    if (read.reading.readAtMs < quietFromMs({ ...read.bounds, sendByMs: sendBy.getTime() })) continue;
    const { kind } = await lookWithin(trx, { ...read, refundId, source: 'reconciliation' });
    if (kind === 'landed' || kind === 'rejected' || kind === 'otherAmount') {
      const detail = `An open attempt is shown as ${kind}.`;
      decided.push({
        kind: kind === 'otherAmount' ? 'other_amount' : 'adopted',
        paymentId: read.paymentId,
        refundId,
        detail,
      });
    }
  }
  return decided;
}

async function noteExternal(
  trx: LedgerTransaction,
  read: PaymentReading,
): Promise<Pick<Reconciled, 'differences' | 'readAgainAtMs'>> {
  const payment = await lockPayment(trx, read.paymentId);
  const { reading } = read;
  const booked = await bookExternal(trx, payment, await standingOf(trx, payment), {
    snapshot: reading,
    readAtMs: reading.readAtMs,
    quietMs: read.bounds.quietMs,
  });
  const of = { paymentId: payment.id, refundId: null };
  const found: Difference[] = [];
  if (booked.external_minor > payment.external_minor) {
    const detail = `${booked.external_minor} moved without us, ${payment.external_minor} was known.`;
    found.push({ ...of, kind: 'external', detail });
  }
  const goneMinor = booked.refunded_minor + booked.reserved_minor + booked.external_minor;
  if (goneMinor > booked.amount_minor) {
    const detail = `${goneMinor} is refunded, reserved or moved without us, of ${booked.amount_minor}.`;
    found.push({ ...of, kind: 'overshoot', detail });
  }
  const { external_doubt: doubt } = booked;
  return { differences: found, readAgainAtMs: doubt && doubt.readAtMs + read.bounds.quietMs };
}

async function unsentRefunds(trx: LedgerTransaction, paymentId: string): Promise<string[]> {
  const rows = await trx
    .selectFrom('refunds')
    .select('id')
    .where('payment_id', '=', paymentId)
    .where('status', '=', 'pending')
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('provider_attempts as attempt')
            .select('attempt.number')
            .whereRef('attempt.refund_id', '=', 'refunds.id')
            .where((inner) =>
              inner.or([inner('conclusion', 'is', null), inner('conclusion', '=', 'landed')]),
            ),
        ),
      ),
    )
    .execute();
  return rows.map(({ id }) => id);
}

async function noteLooked(trx: LedgerTransaction, read: PaymentReading): Promise<void> {
  await trx
    .updateTable('refunds')
    .set({ last_looked_at: new Date(read.nowMs) })
    .where('payment_id', '=', read.paymentId)
    .where('status', 'not in', OPEN_STATUSES)
    .execute();
}

async function lockPayment(trx: LedgerTransaction, paymentId: string): Promise<PaymentRow> {
  return trx
    .selectFrom('payments')
    .selectAll()
    .where('id', '=', paymentId)
    .forUpdate()
    .executeTakeFirstOrThrow();
}
