/** A refund in review as a person needs it: read for them, and judged by the same facts when they decide. */
import { quietFromMs } from '../domain/absence.js';
import { shownByLook, shownByMatch, type ReviewFacts, type Shown } from '../domain/review.js';
import { attemptsOf, type AttemptRow } from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import { attemptToLookFor, matchFor, type Look } from './looks.js';
import type { PaymentRow, RefundRow } from './refunds.js';
import { standingOf, type FullStanding } from './standing.js';

export interface Review {
  readonly payment: PaymentRow;
  readonly refund: RefundRow;
  readonly attempts: readonly AttemptRow[];
  readonly standing: FullStanding;
  /** When it came to be in review, null where it is not. */
  readonly since: Date | null;
}

/** Null: there is no such refund. */
export async function readReview(db: Database, refundId: string): Promise<Review | null> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const refund = await trx
        .selectFrom('refunds')
        .selectAll()
        .where('id', '=', refundId)
        .executeTakeFirst();
      if (!refund) return null;
      const payment = await trx
        .selectFrom('payments')
        .selectAll()
        .where('id', '=', refund.payment_id)
        .executeTakeFirstOrThrow();
      return {
        payment,
        refund,
        attempts: await attemptsOf(trx, refundId),
        standing: await standingOf(trx, payment),
        since: await inReviewSince(trx, refund),
      };
    });
}

/** What a decision is judged by, given what a reading shows. */
export function reviewFactsOf(
  { payment, refund, attempts }: Pick<Review, 'payment' | 'refund' | 'attempts'>,
  shown: Shown,
  clock: { readonly nowMs: number; readonly providerTimeoutMs: number },
): ReviewFacts {
  const heldMinor = payment.refunded_minor + payment.reserved_minor;
  const inFuture = (ms: number): string | null => (ms > clock.nowMs ? new Date(ms).toISOString() : null);
  const latest = (instants: readonly number[]): string | null => inFuture(Math.max(0, ...instants));
  const landed = attempts.some(({ conclusion }) => conclusion === 'landed');
  return {
    shown,
    landed,
    settled: refund.money === 'refunded',
    open: attempts.some(({ conclusion }) => conclusion === null),
    otherAmount: !landed && attempts.some(({ conclusion }) => conclusion === 'other_amount'),
    reserved: refund.money === 'reserved',
    fits: refund.money !== 'released' || heldMinor + refund.amount_minor <= payment.amount_minor,
    windowClosed: refund.submit_before !== null && clock.nowMs >= refund.submit_before.getTime(),
    underWayUntil: latest(
      attempts
        .filter(({ conclusion }) => conclusion === null)
        .map((attempt) =>
          quietFromMs({
            sendByMs: attempt.send_by.getTime(),
            providerTimeoutMs: clock.providerTimeoutMs,
            quietMs: 0,
          }),
        ),
    ),
    silentUntil: latest(attempts.flatMap(({ resend_after: after }) => after?.getTime() ?? [])),
  };
}

/** What a reading shows of it, with nothing stored; what the ledger knows already needs none. */
export function shownIn(
  { refund, attempts, standing }: Pick<Review, 'refund' | 'attempts' | 'standing'>,
  seen: Pick<Look, 'reading' | 'onlyOneRefund'> | Unread,
): Shown {
  const doubted = refund.money === 'refunded' && attempts.find(({ conclusion }) => conclusion === 'landed');
  const wanted = doubted ? { attempt: doubted } : attemptToLookFor(attempts);
  if ('known' in wanted) return shownByLook(wanted.known);
  return 'kind' in seen ? seen : shownByMatch(matchFor(refund, wanted.attempt, seen, standing));
}

export type Unread = Extract<Shown, { kind: 'unread' }>;

async function inReviewSince(trx: LedgerTransaction, refund: RefundRow): Promise<Date | null> {
  if (refund.status !== 'review') return null;
  const changes = await trx
    .selectFrom('refund_events')
    .select(['occurred_at', 'data'])
    .where('refund_id', '=', refund.id)
    .orderBy('sequence', 'desc')
    .execute();
  let since: Date | null = null;
  for (const { occurred_at: at, data } of changes) {
    if (data['status'] === undefined) continue;
    if (data['status'] !== 'review') return since;
    since = at;
  }
  return since;
}
