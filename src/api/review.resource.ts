import type { z } from 'zod';
import { readPaymentWithin } from '../domain/bounded-read.js';
import type { ProviderRefund, SubmitOutcome } from '../domain/provider.js';
import { adviceFor, reviewKindOf } from '../domain/review-advice.js';
import { judge, ownersOf, REVIEW_OUTCOMES, wordsFor, type Shown } from '../domain/review.js';
import type { AttemptRow, AttemptSnapshot } from '../ledger/attempts.js';
import { paymentFromRow, referenceOf } from '../ledger/payment-row.js';
import { readReview, reviewFactsOf, shownIn, type Review, type Unread } from '../ledger/reviews.js';
import type { ApiDeps } from './deps.js';
import { notFound } from './problem.js';
import type { reviewResource } from './review.schema.js';

type ReviewResource = z.output<typeof reviewResource>;

const READ_WITHIN_MS = 3_000;

/** All that a person needs to decide, with what the provider shows now. Stores nothing. @throws Problem not_found */
export async function reviewOf(deps: ApiDeps, refundId: string): Promise<ReviewResource> {
  const known = await readReview(deps.db, refundId);
  if (!known) throw notFound('refund');
  const seen = await readNow(deps, known);
  // The reading took a while: what it is compared with must not be older.
  const review = (await readReview(deps.db, refundId)) ?? known;
  const shown = shownIn(review, seen);
  const { refund } = review;
  const advice = refund.review_ends_by === null ? null : adviceFor(kindOf(review, refund.review_ends_by));
  return {
    object: 'review',
    refund_id: refund.id,
    in_review: refund.status === 'review',
    reason: refund.review_reason,
    since: review.since?.toISOString() ?? null,
    ends_by: refund.review_ends_by,
    requested_by: refund.requested_by,
    amount: refund.amount_minor,
    currency: refund.currency,
    attempts: review.attempts.map(toAttempt),
    provider_shows: 'kind' in seen ? null : toProviderShows(review, seen.reading, shown),
    provider_unread: 'kind' in seen ? seen.why : null,
    to_do: [...(advice?.toDo ?? [])],
    never_do: [...(advice?.neverDo ?? [])],
    outcomes: outcomesOf(review, shown, deps.nowMs()),
  };
}

type Seen = { readonly reading: AttemptSnapshot; readonly onlyOneRefund: boolean } | Unread;

async function readNow(deps: ApiDeps, { payment }: Review): Promise<Seen> {
  const provider = deps.providers.get(payment.provider)?.provider;
  if (!provider) return { kind: 'unread', why: 'The provider is not enabled.', wordSuffices: true };
  const readAtMs = deps.nowMs();
  const read = await readPaymentWithin(provider, referenceOf(paymentFromRow(payment)), READ_WITHIN_MS);
  if (read.kind === 'found') {
    const onlyOneRefund = provider.capabilities.partials !== 'many';
    return { reading: { ...read.snapshot, readAtMs }, onlyOneRefund };
  }
  return { kind: 'unread', why: `The provider could not be read: ${read.detail}`, wordSuffices: false };
}

function kindOf({ refund, attempts }: Review, endsBy: 'provider' | 'person') {
  return reviewKindOf({
    endsBy,
    settled: refund.money === 'refunded',
    attempts: attempts.map(({ conclusion, answer, matched_by: matchedBy }) => ({
      conclusion,
      accepted: answer?.kind === 'accepted',
      seen: matchedBy !== null,
    })),
  });
}

function outcomesOf(review: Review, shown: Shown, nowMs: number): ReviewResource['outcomes'] {
  if (review.refund.status !== 'review') {
    return REVIEW_OUTCOMES.map((outcome) => ({ outcome, allowed: false, why: 'It is not in review.' }));
  }
  // How long the provider may take is the worker's to know: it adds that when it judges.
  const facts = reviewFactsOf(review, shown, { nowMs, providerTimeoutMs: 0 });
  return REVIEW_OUTCOMES.map((outcome) => {
    const judgement = judge(outcome, facts);
    const allowed = judgement.kind === 'allowed';
    return { outcome, allowed, why: allowed ? null : judgement.why };
  });
}

function toProviderShows(
  { refund, attempts, standing }: Review,
  reading: AttemptSnapshot,
  shown: Shown,
): ReviewResource['provider_shows'] {
  const landed = [...standing.landed, ...standing.landedLate];
  const namedHere = attempts
    .filter(({ conclusion, provider_refund_id: id }) => conclusion !== 'landed' && id !== null)
    .map((attempt) => ({
      refundId: refund.id,
      number: attempt.number,
      amountMinor: attempt.amount_minor,
      providerRefundId: attempt.provider_refund_id,
    }));
  const owners = ownersOf(reading.refunds, [...landed, ...namedHere]);
  return {
    read_at: new Date(reading.readAtMs).toISOString(),
    payment_status: reading.providerStatus,
    refunds: reading.refunds.map((entry, at) => {
      const owned = owners[at];
      return {
        ...toShownRefund(entry),
        ours: owned ? { refund_id: owned.owner.refundId, attempt: owned.owner.number, by: owned.by } : null,
      };
    }),
    refunded_in_all: reading.totalOnlyMinor ?? null,
    complete: reading.complete,
    explains: wordsFor(shown),
  };
}

function toAttempt(attempt: AttemptRow): ReviewResource['attempts'][number] {
  const { provider_refund_id: providerRefundId, matched_by: matchedBy, snapshot, answer } = attempt;
  return {
    number: attempt.number,
    claimed_at: attempt.claimed_at.toISOString(),
    send_by: attempt.send_by.toISOString(),
    sends: attempt.sends,
    last_sent_at: attempt.last_sent_at?.toISOString() ?? null,
    idempotency_key: attempt.idempotency_key,
    amount: attempt.amount_minor,
    shown_before: {
      payment_status: snapshot.providerStatus,
      refunds: snapshot.refunds.map(toShownRefund),
    },
    answer: answer && toAnswer(answer),
    resend_after: attempt.resend_after?.toISOString() ?? null,
    found:
      providerRefundId === null && matchedBy === null
        ? null
        : { provider_refund_id: providerRefundId, matched_by: matchedBy },
    absent_reads: attempt.absent_reads.map(({ readAtMs }) => new Date(readAtMs).toISOString()),
    conclusion: attempt.conclusion,
  };
}

function toAnswer(answer: SubmitOutcome): NonNullable<ReviewResource['attempts'][number]['answer']> {
  return {
    kind: answer.kind,
    provider_status: 'providerStatus' in answer ? answer.providerStatus : null,
    error: 'error' in answer ? answer.error : null,
  };
}

function toShownRefund(entry: ProviderRefund) {
  return {
    provider_refund_id: entry.providerRefundId,
    amount: entry.amountMinor,
    status: entry.status,
    provider_status: entry.providerStatus,
  };
}
