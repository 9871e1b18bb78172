import { approvalEndMs } from '../domain/approval.js';
import { assertNever } from '../domain/errors.js';
import { isOpen, type RefundStatus } from '../domain/refund.js';
import type { ApprovalWait } from '../domain/saga-state.js';
import {
  judge,
  shownByLook,
  shownByMatch,
  wordsFor,
  type ReviewOutcome,
  type Shown,
} from '../domain/review.js';
import { approvalWait } from './approval-standing.js';
import { landed, reread, updateAttempt } from './attempt-writes.js';
import { attemptsOf } from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import type { TrailEvent } from './event-chain.js';
import { handleOnce } from './front-door-messages.js';
import { lookWithin, matchOf, type Look } from './looks.js';
import { lockRefund, transition, type PaymentRow, type RefundRow } from './refunds.js';
import { reviewFactsOf, shownIn, type Review, type Unread } from './reviews.js';
import { failWithin, settleWithin, type Closed } from './settlement.js';
import { standingOf, unbookOurs } from './standing.js';
import { storable } from './storable-text.js';

/** What a person decided about a refund in review. */
export interface Decision {
  /** One a decision: a repeat is told what it did. */
  readonly id: string;
  /** The refund as the person saw it: what happened since makes it another review. */
  readonly refundVersion: number;
  readonly outcome: ReviewOutcome;
  readonly evidence: string | Readonly<Record<string, string>>;
  readonly actor: string;
  readonly requestId: string;
  /** The front door's word for it, and what it is known by when it comes again. */
  readonly proof: string;
  readonly nonce: string;
}

/** What a resend needs that waits for votes once more. */
export interface NextRound {
  readonly expiresAfterMs: number;
  contentHash(payment: PaymentRow, refund: RefundRow, round: number): string;
}

export interface ResolutionAsk {
  readonly refundId: string;
  readonly decision: Decision;
  /** What the provider shows, read for this decision. */
  readonly seen: Pick<Look, 'reading' | 'onlyOneRefund'> | Unread;
  readonly bounds: Look['bounds'];
  readonly nowMs: number;
}

export type Resolving =
  | { readonly kind: 'closed'; readonly status: RefundStatus; readonly wakeRefundId: string | null }
  /** Pending again, or once more to be agreed on; `attempt` was the last number. */
  | { readonly kind: 'resend'; readonly attempt: number; readonly approval?: ApprovalWait }
  | { readonly kind: 'contradicted'; readonly why: string }
  | { readonly kind: 'unreadable'; readonly why: string }
  | { readonly kind: 'notInReview' }
  | { readonly kind: 'ownRefund' };

/**
 * Ends a review as a person decided, unless the ledger or the provider says otherwise. What the reading shows is kept
 * either way, as any look is. Safe to repeat.
 */
export async function resolveRefund(
  db: Database,
  asked: ResolutionAsk,
  nextRound: NextRound,
): Promise<Resolving> {
  const ask = storable(asked);
  const { decision } = ask;
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, ask.refundId);
    const earlier = await carriedOut(trx, refund.id, decision.id);
    if (earlier) return whatItDid(trx, earlier, refund);
    const message = { ...decision, refundId: refund.id, action: 'resolve' as const };
    return handleOnce(trx, message, ask.nowMs, () => decide(trx, refund, ask, nextRound));
  });
}

async function decide(
  trx: LedgerTransaction,
  refund: RefundRow,
  ask: ResolutionAsk,
  nextRound: NextRound,
): Promise<Resolving> {
  const { decision } = ask;
  if (refund.status !== 'review' || refund.version !== decision.refundVersion) return NOT_IN_REVIEW;
  if (refund.requested_by === decision.actor) return { kind: 'ownRefund' };

  const shown = await lookForPerson(trx, refund, ask);
  const review = await standingReview(trx, ask.refundId);
  // What the person could not know yet is theirs to decide about again.
  if (review.refund.version !== refund.version && decision.outcome !== 'succeeded') {
    return { kind: 'contradicted', why: wordsFor(shown) };
  }
  const { providerTimeoutMs } = ask.bounds;
  const facts = reviewFactsOf(review, shown, { nowMs: ask.nowMs, providerTimeoutMs });
  const judgement = judge(decision.outcome, facts);
  return judgement.kind === 'allowed' ? carryOut(trx, review, shown, ask, nextRound) : judgement;
}

const NOT_IN_REVIEW: Resolving = { kind: 'notInReview' };

/** True where the decision has been carried out. */
export async function isCarriedOut(db: Database, refundId: string, resolutionId: string): Promise<boolean> {
  return (await carriedOut(db, refundId, resolutionId)) !== null;
}

interface CarriedOut {
  readonly outcome: ReviewOutcome;
  readonly lastAttempt: number;
}

async function carriedOut(
  db: Database | LedgerTransaction,
  refundId: string,
  resolutionId: string,
): Promise<CarriedOut | null> {
  const events = await db
    .selectFrom('refund_events')
    .select('data')
    .where('refund_id', '=', refundId)
    .where('type', '=', 'review_resolved')
    .execute();
  const event = events.find(({ data }) => data['resolution_id'] === resolutionId);
  return event
    ? {
        outcome: event.data['outcome'] as ReviewOutcome,
        lastAttempt: event.data['last_attempt'] as number,
      }
    : null;
}

async function whatItDid(
  trx: LedgerTransaction,
  { outcome, lastAttempt }: CarriedOut,
  refund: RefundRow,
): Promise<Resolving> {
  if (!isOpen(refund.status)) return { kind: 'closed', status: refund.status, wakeRefundId: null };
  // It is in review once more: what was decided before says nothing about that.
  if (outcome !== 'resend' || refund.status === 'review') return NOT_IN_REVIEW;
  return resendOf(trx, refund, lastAttempt);
}

async function resendOf(trx: LedgerTransaction, refund: RefundRow, attempt: number): Promise<Resolving> {
  return refund.status === 'requires_approval'
    ? { kind: 'resend', attempt, approval: await approvalWait(trx, refund) }
    : { kind: 'resend', attempt };
}

/** Stored as a look is; a resend needs the absence of every attempt, not of the last alone. */
async function lookForPerson(trx: LedgerTransaction, refund: RefundRow, ask: ResolutionAsk): Promise<Shown> {
  const { refundId, seen, bounds, nowMs } = ask;
  if ('kind' in seen || refund.money === 'refunded') {
    return shownIn(await standingReview(trx, refundId), seen);
  }
  if (refund.last_looked_at && refund.last_looked_at.getTime() > seen.reading.readAtMs) {
    return { kind: 'unread', why: 'Somebody looked there meanwhile: decide again.', wordSuffices: false };
  }
  const shown = shownByLook(await lookWithin(trx, { ...seen, source: 'operator', refundId, bounds, nowMs }));
  if (shown.kind !== 'absent') return shown;
  const { attempts, standing } = await standingReview(trx, refundId);
  return (
    attempts
      .filter(({ conclusion }) => conclusion === 'absent' || conclusion === null)
      .map((attempt) => shownByMatch(matchOf(attempt, seen, standing)))
      .find(({ kind }) => kind !== 'absent') ?? shown
  );
}

async function carryOut(
  trx: LedgerTransaction,
  { payment, refund, attempts: before, standing }: StandingReview,
  shown: Shown,
  ask: ResolutionAsk,
  nextRound: NextRound,
): Promise<Resolving> {
  const { decision, nowMs, seen } = ask;
  const isCounted = refund.money !== 'released' && before.some(({ conclusion }) => conclusion === 'landed');
  if (decision.outcome === 'succeeded' && !isCounted && 'reading' in seen) {
    await unbookOurs(trx, payment, standing, refund.amount_minor, { snapshot: seen.reading, nowMs });
  }
  const concluded = await conclude(trx, { refund, attempts: before }, shown, ask);
  const attempts = await attemptsOf(trx, refund.id);
  const current = await reread(trx, refund);
  const event = {
    type: 'review_resolved',
    actor: decision.actor,
    requestId: decision.requestId,
    data: {
      resolution_id: decision.id,
      outcome: decision.outcome,
      operator_evidence: named(decision.evidence),
      provider_shows: whatWasShown(shown, ask),
      concluded,
      last_attempt: refund.attempt,
    },
  };
  switch (decision.outcome) {
    case 'succeeded': {
      const attempt = attempts.find(({ conclusion }) => conclusion === 'landed');
      if (!attempt) throw new Error('a refund without a landed attempt was judged to have succeeded');
      return closedBy(await settleWithin(trx, current, attempt, event, nowMs));
    }
    case 'failed':
      return closedBy(
        await failWithin(trx, { refund: current, attempts, reason: 'provider_declined' }, event, nowMs),
      );
    case 'resend': {
      const again = await sendAgain(trx, { payment, refund: current }, event, nextRound, ask);
      return resendOf(trx, again, refund.attempt);
    }
    default:
      return assertNever(decision.outcome);
  }
}

/** What people had to agree on they agree on again. The lane is kept. */
function sendAgain(
  trx: LedgerTransaction,
  { payment, refund }: { payment: PaymentRow; refund: RefundRow },
  event: Pick<TrailEvent, 'type' | 'data'> & Partial<TrailEvent>,
  nextRound: NextRound,
  { decision, nowMs }: ResolutionAsk,
): Promise<RefundRow> {
  if (refund.approvals_required === 0) {
    return transition(trx, refund, { status: 'pending', pendingReason: 'validating' }, event, nowMs);
  }
  const round = refund.approval_round + 1;
  const contentHash = nextRound.contentHash(payment, refund, round);
  const submitBeforeMs = refund.submit_before?.getTime() ?? null;
  const expiresAt = new Date(approvalEndMs(nowMs, nextRound.expiresAfterMs, submitBeforeMs));
  return transition(
    trx,
    refund,
    { status: 'requires_approval' },
    {
      ...event,
      data: {
        ...event.data,
        content_hash: contentHash,
        approval: { required: refund.approvals_required, round, expires_at: expiresAt.toISOString() },
      },
    },
    nowMs,
    {
      content_hash: contentHash,
      approval_round: round,
      approval_opened_by: decision.actor,
      approval_requested_at: new Date(nowMs),
      approval_expires_at: expiresAt,
    },
  );
}

function closedBy({ refund, wakeRefundId }: Closed): Resolving {
  return { kind: 'closed', status: refund.status, wakeRefundId };
}

interface Concluded {
  readonly attempt: number;
  readonly conclusion: 'landed' | 'declined' | 'absent';
}

/** No attempt stays open behind a decision. What is absent is still looked for: it may show up late. */
async function conclude(
  trx: LedgerTransaction,
  { refund, attempts }: Pick<Review, 'refund' | 'attempts'>,
  shown: Shown,
  { decision, seen, nowMs }: ResolutionAsk,
): Promise<Concluded[]> {
  const concluded: Concluded[] = [];
  const givenBack = decision.outcome === 'failed' && refund.money === 'refunded';
  let open = attempts.filter(
    ({ conclusion }) => conclusion === null || (givenBack && conclusion === 'landed'),
  );
  if (decision.outcome === 'succeeded' && attempts.every(({ conclusion }) => conclusion !== 'landed')) {
    const ours = open.at(-1) ?? attempts.findLast(({ conclusion }) => conclusion === 'absent');
    if (!ours) throw new Error('nothing was sent that could have succeeded');
    const providerStatus = 'kind' in seen ? 'not read' : (statusIn(shown) ?? seen.reading.providerStatus);
    const observedAtMs = 'kind' in seen ? nowMs : seen.reading.readAtMs;
    await updateAttempt(trx, ours, landed(ours.provider_refund_id, 'operator', providerStatus, observedAtMs));
    concluded.push({ attempt: ours.number, conclusion: 'landed' });
    open = open.filter((attempt) => attempt !== ours);
  }
  // Unread, nobody has said that it was not carried out: should it show up, a person is asked again.
  const conclusion = shown.kind === 'absent' || shown.kind === 'unread' ? 'absent' : 'declined';
  for (const attempt of open) {
    await updateAttempt(trx, attempt, { conclusion, concluded_at: new Date(nowMs) });
    concluded.push({ attempt: attempt.number, conclusion });
  }
  return concluded;
}

function statusIn(shown: Shown): string | null {
  return shown.kind === 'cannotTell' ? shown.providerStatus : null;
}

function whatWasShown(shown: Shown, { seen }: ResolutionAsk): Record<string, unknown> {
  const verdict = { verdict: shown.kind, words: wordsFor(shown) };
  if ('kind' in seen) return verdict;
  const { readAtMs, providerStatus, refunds } = seen.reading;
  return { ...verdict, read_at: new Date(readAtMs).toISOString(), provider_status: providerStatus, refunds };
}

/** A list keeps the person's own names as they wrote them. */
function named(evidence: Decision['evidence']): unknown {
  return typeof evidence === 'string'
    ? evidence
    : Object.entries(evidence).map(([name, value]) => ({ name, value }));
}

type StandingReview = Omit<Review, 'since'>;

async function standingReview(trx: LedgerTransaction, refundId: string): Promise<StandingReview> {
  const { payment, refund } = await lockRefund(trx, refundId);
  return {
    payment,
    refund,
    attempts: await attemptsOf(trx, refundId),
    standing: await standingOf(trx, payment),
  };
}
