/** What a reading says of attempts that the ledger had written off, whatever became of their refunds. */
import { assertNever } from '../domain/errors.js';
import type { ProviderRefund } from '../domain/provider.js';
import { isOpen } from '../domain/refund.js';
import { otherOwner, type Subject } from './attempt-writes.js';
import { attemptsOf, openOrLanded, type AttemptRow } from './attempts.js';
import type { LedgerTransaction } from './database.js';
import { applyFound, applyOtherAmount, matchFor } from './looks.js';
import type { PaymentReading } from './reconcile.js';
import type { Difference } from './reconciliations.js';
import { transition, type PaymentRow, type RefundRow } from './refunds.js';
import { resolvedByPerson } from './resolved-refunds.js';
import { standingOf, type FullStanding } from './standing.js';

/** The caller holds the payment's lock, and the reading is complete. */
export async function noticeWrittenOff(trx: LedgerTransaction, read: PaymentReading): Promise<Difference[]> {
  const candidates = await writtenOff(trx, read.paymentId);
  const found: Difference[] = [];
  for (const candidate of candidates) {
    const seen = await noticeOne(trx, candidate, candidates, read);
    if (seen) found.push(seen);
  }
  return found;
}

type Candidate = Omit<Subject, 'payment'>;

/** One attempt a refund, the newest: one sight is of one attempt. What never left can't show up. */
async function writtenOff(trx: LedgerTransaction, paymentId: string): Promise<Candidate[]> {
  const refunds = await trx
    .selectFrom('refunds')
    .selectAll()
    .where('payment_id', '=', paymentId)
    .where('attempt', '>', 0)
    .orderBy('id')
    .forUpdate()
    .execute();
  const candidates = await Promise.all(
    refunds.map(async (refund) => {
      const attempts = await attemptsOf(trx, refund.id);
      const attempt = attempts.findLast(mayShowUp);
      // What is open is looked for by its own workflow, and first of all.
      const isLookedFor = isOpen(refund.status) && openOrLanded(attempts) !== undefined;
      return attempt && !isLookedFor ? [{ refund, attempts, attempt }] : [];
    }),
  );
  return candidates.flat();
}

/** Proven absent; or shown once, as not carried out. A plain refusal is believed: a new entry beside it is not ours. */
function mayShowUp({ conclusion, provider_refund_id: id, matched_by: matchedBy }: AttemptRow): boolean {
  return conclusion === 'absent' || (conclusion === 'declined' && (id !== null || matchedBy !== null));
}

async function noticeOne(
  trx: LedgerTransaction,
  candidate: Candidate,
  candidates: readonly Candidate[],
  read: PaymentReading,
): Promise<Difference | null> {
  const { refund, attempt } = candidate;
  const { reading } = read;
  // What was seen before the ledger wrote it off says nothing new.
  if (reading.readAtMs < (attempt.concluded_at?.getTime() ?? 0)) return null;
  const payment = await paymentOf(trx, refund);
  const standing = await standingOf(trx, payment);
  const match = matchFor(refund, attempt, read, standing);
  const isStillOpen = isOpen(refund.status);
  switch (match.kind) {
    case 'absent':
    case 'incomplete':
      return null;
    case 'otherAmount':
    case 'found': {
      const shown = match.refund;
      if (shown.status === 'rejected') return null;
      if ((await otherOwner(trx, refund, attempt, shown.providerRefundId)) !== null) return null;
      // A person ended it knowing that the provider had not decided: only its decision is news.
      const decided = shown.status === 'succeeded';
      if (!decided && (await resolvedByPerson(trx, payment.id)).has(refund.id)) return null;
      const byId = match.kind === 'otherAmount' || match.matchedBy === 'id';
      if (!byId) {
        // It may be that of the open attempt, which comes first; and a person answers one question once.
        if (standing.open.length > 0 || (await askedBefore(trx, attempt))) return null;
        const twin = candidates.find((other) => isTwin(candidate, other));
        // Before it is sent again its claim asks the same.
        if (twin && isStillOpen) return null;
        if (twin) return ask(trx, refund, attempt, `It may be this refund or ${twin.refund.id}.`, read);
      }
      const subject = { ...candidate, payment };
      const look = { ...read, refundId: refund.id, source: 'reconciliation' as const };
      if (match.kind === 'found') await applyFound(trx, subject, shown, match.matchedBy, look);
      else await applyOtherAmount(trx, subject, shown, look);
      return {
        kind: match.kind === 'otherAmount' ? 'other_amount' : isStillOpen ? 'adopted' : 'landed_late',
        paymentId: payment.id,
        refundId: refund.id,
        detail: `It was written off (${refund.status}), and is shown as ${shown.providerStatus} with ${shown.amountMinor}.`,
      };
    }
    case 'cannotTell':
      if (isStillOpen || standing.open.length > 0 || !couldBeOurs(attempt, reading, standing)) return null;
      return (await askedBefore(trx, attempt)) ? null : ask(trx, refund, attempt, `${match.why}.`, read);
    default:
      return assertNever(match);
  }
}

function isTwin(one: Candidate, other: Candidate): boolean {
  return other.refund.id !== one.refund.id && other.attempt.amount_minor === one.attempt.amount_minor;
}

/** More of this amount went back than before the call, by whatever the provider shows. */
function couldBeOurs(
  attempt: AttemptRow,
  now: PaymentReading['reading'],
  { landed, landedLate }: FullStanding,
): boolean {
  const { snapshot: before, amount_minor: amountMinor } = attempt;
  if (now.totalOnlyMinor !== undefined) {
    return now.totalOnlyMinor - (before.totalOnlyMinor ?? 0) >= amountMinor;
  }
  if (now.refunds.length === 0) return before.status === 'refundable' && now.status === 'refunded';
  const owned = new Set([...landed, ...landedLate].flatMap(({ providerRefundId }) => providerRefundId ?? []));
  const equals = (entries: readonly ProviderRefund[]): number =>
    entries.filter(
      (entry) =>
        entry.amountMinor === amountMinor &&
        entry.status !== 'rejected' &&
        !owned.has(entry.providerRefundId ?? ''),
    ).length;
  return equals(now.refunds) > equals(before.refunds);
}

/** Where it can't be told whose money it is: the entry counts as external, and a person says whether it is this refund's. */
async function ask(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  why: string,
  { reading, nowMs }: PaymentReading,
): Promise<Difference> {
  const reviewReason = `Money of its amount went back after it had ended as ${refund.status}. ${why}`;
  await transition(
    trx,
    refund,
    { status: 'review', reviewReason, endsBy: 'person' },
    { type: 'late_money_possible', data: { attempt: attempt.number, shown: reading.refunds } },
    nowMs,
  );
  return { kind: 'landed_late', paymentId: refund.payment_id, refundId: refund.id, detail: reviewReason };
}

async function askedBefore(trx: LedgerTransaction, attempt: AttemptRow): Promise<boolean> {
  const events = await trx
    .selectFrom('refund_events')
    .select('data')
    .where('refund_id', '=', attempt.refund_id)
    .where('type', 'in', ['late_money_seen', 'late_money_possible'])
    .execute();
  return events.some(({ data }) => data['attempt'] === attempt.number);
}

async function paymentOf(trx: LedgerTransaction, refund: RefundRow): Promise<PaymentRow> {
  return trx.selectFrom('payments').selectAll().where('id', '=', refund.payment_id).executeTakeFirstOrThrow();
}
