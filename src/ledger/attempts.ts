import type { Selectable } from 'kysely';
import { absenceProven, type AbsenceBounds } from '../domain/absence.js';
import { decideEligibility, UNLIMITED, type EligibilityFacts } from '../domain/eligibility.js';
import { explainReading, findRefund, type OtherRefunds } from '../domain/matching.js';
import { sumMinor } from '../domain/money.js';
import type { PaymentSnapshot } from '../domain/provider.js';
import type { FailureReason } from '../domain/refund.js';
import type { Database, LedgerTransaction, Schema } from './database.js';
import { fixedQuery } from './fixed-query.js';
import { paymentFromRow } from './payment-row.js';
import { laneHolder } from './lanes.js';
import { isPaused, pausedSince } from './provider-switches.js';
import { lockRefund, transition, type Conclusion, type PaymentRow, type RefundRow } from './refunds.js';
import { bookExternal, showsLess, standingOf, type FullStanding, type Standing } from './standing.js';
import { storable } from './storable-text.js';

/** What the provider showed at one instant, as it is kept beside the claim. */
export type AttemptSnapshot = PaymentSnapshot & { readonly readAtMs: number };

export type AttemptRow = Selectable<Schema['provider_attempts']>;

export interface Claim {
  readonly refundId: string;
  readonly number: number;
  readonly idempotencyKey: string;
  readonly reading: AttemptSnapshot;
  readonly needsLane: boolean;
  /** Provider facts for the rules, which are checked once more under the lock. */
  readonly rules: Pick<EligibilityFacts, 'capabilities' | 'providerEnabled' | 'window'>;
  readonly sendByMs: number;
  readonly nowMs: number;
  /** The later of the workflow's clock and the worker's: the window follows it. */
  readonly decisionMs: number;
}

export type ClaimOutcome =
  | { readonly kind: 'claimed'; readonly attempt: AttemptRow }
  /** The number is taken: a repeat, or another worker. It never sends by this claim. */
  | { readonly kind: 'exists'; readonly attempt: AttemptRow }
  /** An earlier attempt is open, or shows up after all: it must be resolved first. */
  | { readonly kind: 'earlierOpen' }
  /** The reading lacks what has settled here, was cut, or speaks of a status that no document lists. */
  | { readonly kind: 'unusableReading'; readonly why: string }
  | { readonly kind: 'laneLost' }
  /** The kill switch was thrown while the provider was being read. */
  | { readonly kind: 'paused' }
  | { readonly kind: 'ineligible'; readonly code: FailureReason; readonly detail: string }
  | { readonly kind: 'refundClosed' };

/**
 * Claims one attempt before its call, with the reading that it will be recognised by. The unique row makes the call
 * at-most-once, whatever the engine repeats.
 */
export async function claimAttempt(db: Database, asAsked: Claim): Promise<ClaimOutcome> {
  const claim = { ...asAsked, reading: storable(asAsked.reading) };
  return db.transaction().execute(async (trx) => {
    const { payment, refund, attempts } = await lockWithAttempts(trx, claim.refundId, claim.number);
    const existing = attempts.find((attempt) => attempt.number === claim.number);
    if (existing) return { kind: 'exists', attempt: existing };
    if (refund.status !== 'pending') return { kind: 'refundClosed' };
    if (claim.number !== refund.attempt + 1) return { kind: 'earlierOpen' };

    if (openOrLanded(attempts)) return { kind: 'earlierOpen' };

    const [standing, [grounds]] = await Promise.all([
      standingOf(trx, payment),
      groundsOf(trx, { paymentId: payment.id, provider: refund.provider }),
    ]);
    // Before anything is opened again: of two that are open, each would keep the other from being told apart.
    if (claim.needsLane && (standing.open.length > 0 || grounds?.holder !== refund.id)) {
      return { kind: 'laneLost' };
    }
    const earlier = await reopenEarlier(trx, attempts, claim, standing);
    if (earlier === 'open') return { kind: 'earlierOpen' };
    if (earlier === 'stale') {
      return { kind: 'unusableReading', why: 'what an earlier attempt saw is not shown' };
    }

    if (grounds?.pausedAt) return { kind: 'paused' };

    const unusable = whyUnusable(claim.reading, standing, payment.external_minor);
    if (unusable) return { kind: 'unusableReading', why: unusable };
    const booked = await bookExternal(trx, payment, standing, {
      snapshot: claim.reading,
      readAtMs: claim.reading.readAtMs,
    });
    const broken = brokenRule(claim, refund, booked, standing);
    if (broken) return { kind: 'ineligible', ...broken };

    return { kind: 'claimed', attempt: await insertClaim(trx, claim, refund, standing) };
  });
}

/** Who holds the payment's lane, and since when the provider is paused. */
const groundsOf = fixedQuery((trx, given: { paymentId: string; provider: string }) =>
  trx.selectNoFrom([
    laneHolder(trx, given.paymentId).as('holder'),
    pausedSince(trx, given.provider).as('pausedAt'),
  ]),
);

/**
 * Notes one more sending of a claimed attempt under its own key; only idempotent providers get here. False: the
 * attempt was concluded meanwhile, or the refund is no longer the workflow's to send.
 */
export async function noteRepeat(
  db: Database,
  repeat: { refundId: string; number: number; sendByMs: number; nowMs: number },
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    // The lock keeps an answer to the sending before from being judged as if there were no repeat.
    const { refund } = await lockRefund(trx, repeat.refundId);
    if (refund.status !== 'pending' || refund.attempt !== repeat.number) return false;
    if (await isPaused(trx, refund.provider)) return false;
    const noted = await trx
      .updateTable('provider_attempts')
      .set((set) => ({
        sends: set('sends', '+', 1),
        last_sent_at: new Date(repeat.nowMs),
        send_by: new Date(repeat.sendByMs),
      }))
      .where('refund_id', '=', repeat.refundId)
      .where('number', '=', repeat.number)
      .where('conclusion', 'is', null)
      .executeTakeFirst();
    return noted.numUpdatedRows === 1n;
  });
}

/** The locks, and the attempts as they are under them: statements of one transaction run in the order of their sending. */
export async function lockWithAttempts(
  trx: LedgerTransaction,
  refundId: string,
  numbered = 0,
): Promise<{ payment: PaymentRow; refund: RefundRow; attempts: AttemptRow[] }> {
  const locked = lockRefund(trx, refundId);
  const [{ payment, refund }, attempts] = await Promise.all([locked, attemptsOf(trx, refundId, numbered)]);
  return { payment, refund, attempts };
}

/**
 * The refund's attempts in order, but for those that never left and are not the last: a refund that waits days for
 * balance has thousands of them, and they decide nothing. The one numbered so is among them in any case.
 */
export async function attemptsOf(
  db: Database | LedgerTransaction,
  refundId: string,
  numbered = 0,
): Promise<AttemptRow[]> {
  return attemptsThatCount(db, { refundId, numbered });
}

const attemptsThatCount = fixedQuery((db, given: { refundId: string; numbered: number }) =>
  db
    .selectFrom('provider_attempts')
    .selectAll()
    .where('refund_id', '=', given.refundId)
    .where((where) =>
      where.or([
        where('conclusion', 'is', null),
        where('conclusion', '<>', 'not_sent'),
        where('number', '=', given.numbered),
        where('number', '=', (select) =>
          select.selectFrom('refunds').select('refunds.attempt').where('refunds.id', '=', given.refundId),
        ),
      ]),
    )
    .orderBy('number'),
);

/**
 * The last resort against a late effect: what was proven absent and is there after all is open again. One attempt
 * for one sight of it, the newest; what was declined or never sent can't be what shows up.
 */
async function reopenEarlier(
  trx: LedgerTransaction,
  attempts: readonly AttemptRow[],
  { reading, rules }: Pick<Claim, 'reading' | 'rules'>,
  standing: FullStanding,
): Promise<'open' | 'stale' | 'none'> {
  for (const attempt of attempts.toReversed()) {
    if (attempt.conclusion !== 'absent') continue;
    const match = findRefund(
      {
        amountMinor: attempt.amount_minor,
        before: attempt.snapshot,
        providerRefundId: attempt.provider_refund_id,
        accepted: false,
        onlyOneRefund: rules.capabilities.partials !== 'many',
      },
      reading,
      othersOf(attempt, standing, reading),
    );
    if (match.kind === 'absent') continue;
    if (match.kind === 'incomplete') return 'stale';
    await reopenAttempt(trx, attempt);
    return 'open';
  }
  return 'none';
}

export function openOrLanded<Attempt extends Conclusion>(attempts: readonly Attempt[]): Attempt | undefined {
  return (
    attempts.findLast((attempt) => attempt.conclusion === null) ??
    attempts.findLast((attempt) => attempt.conclusion === 'landed')
  );
}

/** Whether an attempt is open, or has landed, so that ending the refund would not be the truth. */
export function mayHaveMovedMoney({ conclusion }: { readonly conclusion: string | null }): boolean {
  return conclusion === null || conclusion === 'landed' || conclusion === 'other_amount';
}

export async function reopenAttempt(trx: LedgerTransaction, attempt: AttemptRow): Promise<void> {
  await trx
    .updateTable('provider_attempts')
    .set({ conclusion: null, concluded_at: null, absent_reads: '[]' })
    .where('refund_id', '=', attempt.refund_id)
    .where('number', '=', attempt.number)
    .execute();
}

/** What the ledger knows of the payment's other attempts, this refund's own included, for the matcher. */
export function othersOf(
  attempt: AttemptRow,
  standing: FullStanding,
  now: Pick<PaymentSnapshot, 'totalOnlyMinor'>,
): OtherRefunds {
  const isOther = (other: AttemptKey): boolean =>
    other.refundId !== attempt.refund_id || other.number !== attempt.number;
  const landed = [...standing.landed, ...standing.landedLate].filter(isOther);
  // A total holds what has an id as well.
  const isInTotal = now.totalOnlyMinor !== undefined || attempt.snapshot.totalOnlyMinor !== undefined;
  const nameless = landed.filter(({ providerRefundId }) => isInTotal || providerRefundId === null);
  const known = attempt.known_at_claim;
  const around = nameless.filter((other) => known.open.includes(keyOf(other)));
  // What had landed by then is in the snapshot: no claim passes that lacks it.
  const since = nameless.filter(
    (other) => !known.open.includes(keyOf(other)) && !known.landed.includes(keyOf(other)),
  );
  return {
    claimedIds: new Set(standing.owned.filter(isOther).map(({ providerRefundId }) => providerRefundId)),
    landedSinceMinor: since.map(({ amountMinor }) => amountMinor),
    landedAroundMinor: around.map(({ amountMinor }) => amountMinor),
    anotherIsOpen: standing.open.some(isOther),
  };
}

interface AttemptKey {
  readonly refundId: string;
  readonly number: number;
}

function keyOf({ refundId, number }: AttemptKey): string {
  return `${refundId}/${number}`;
}

function whyUnusable(reading: AttemptSnapshot, standing: Standing, externalMinor: number): string | null {
  if (!reading.complete) return 'the list of refunds may be cut';
  if (reading.status === 'unknown') {
    return `the payment's status is ${reading.providerStatus}, which no document lists`;
  }
  // A payment that shows as refunded without entries lists nothing of anybody's.
  if (reading.refunds.length === 0 && reading.totalOnlyMinor === undefined && reading.status === 'refunded') {
    return null;
  }
  const { missing } = explainReading(reading, standing.landed);
  if (missing.length > 0) return `${missing.length} settled refunds are not shown`;
  return showsLess(reading, standing, externalMinor) ? 'less is shown than is known to have gone back' : null;
}

function brokenRule(
  claim: Claim,
  refund: RefundRow,
  row: PaymentRow,
  standing: Standing,
): { code: FailureReason; detail: string } | null {
  const payment = paymentFromRow(row);
  const unsettled = [...standing.open, ...standing.landed.filter((landing) => !landing.settled)];
  const othersMovedMinor = sumMinor(unsettled);
  const decision = decideEligibility(
    { amountMinor: refund.amount_minor, currency: refund.currency, expectedRefundableMinor: null },
    {
      ...claim.rules,
      // What others merely reserved is judged at their own claim; what they moved, or may have, counts.
      payment: { ...payment, reservedMinor: othersMovedMinor },
      snapshot: claim.reading,
      unknownAtProvider: false,
      liveRefunds: standing.liveRefunds - 1,
      // What may be asked for in a day was decided when it was asked for.
      limits: UNLIMITED,
      nowMs: claim.decisionMs,
    },
  );
  const [first] = decision.broken;
  return first ? { code: first.code as FailureReason, detail: first.detail } : null;
}

async function insertClaim(
  trx: LedgerTransaction,
  claim: Claim,
  refund: RefundRow,
  standing: FullStanding,
): Promise<AttemptRow> {
  // Not beside what follows: of two statements under way, the second is still sent where the first has failed.
  const attempt = await trx
    .insertInto('provider_attempts')
    .values({
      refund_id: refund.id,
      number: claim.number,
      payment_id: refund.payment_id,
      amount_minor: refund.amount_minor,
      idempotency_key: claim.idempotencyKey,
      claimed_at: new Date(claim.nowMs),
      send_by: new Date(claim.sendByMs),
      snapshot: JSON.stringify(claim.reading),
      known_at_claim: JSON.stringify({
        landed: [...standing.landed, ...standing.landedLate].map(keyOf),
        open: standing.open.map(keyOf),
      }),
      sends: 1,
      last_sent_at: new Date(claim.nowMs),
      answer: null,
      resend_after: null,
      provider_refund_id: null,
      evidence: null,
      matched_by: null,
      conclusion: null,
      concluded_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await transition(
    trx,
    refund,
    { status: 'pending', pendingReason: 'provider_processing' },
    {
      type: 'attempt_claimed',
      data: {
        attempt: claim.number,
        amount_minor: refund.amount_minor,
        idempotency_key: claim.idempotencyKey,
        send_by: new Date(claim.sendByMs).toISOString(),
        shown_before: { provider_status: claim.reading.providerStatus, refunds: claim.reading.refunds },
      },
    },
    claim.nowMs,
    { attempt: claim.number },
  );
  return attempt;
}

/** Whether an unclear attempt is proven absent by the reads that the ledger itself holds. */
export function isProvenAbsent(
  attempt: AttemptRow,
  bounds: Pick<AbsenceBounds, 'providerTimeoutMs' | 'quietMs'>,
): boolean {
  return absenceProven(attempt.absent_reads, { ...bounds, sendByMs: attempt.send_by.getTime() });
}
