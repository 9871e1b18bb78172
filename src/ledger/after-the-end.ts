/** What a reading says of refunds that have succeeded. */
import { assertNever } from '../domain/errors.js';
import { shownInstead, sightOfLanded, type LandedSight } from '../domain/landed-sight.js';
import type { ProviderRefund } from '../domain/provider.js';
import { judgeAfterTheEnd, type Doubt } from '../domain/reversal.js';
import { appendEvent, updateAttempt } from './attempt-writes.js';
import type { AttemptRow } from './attempts.js';
import type { LedgerTransaction } from './database.js';
import { pauseProvider } from './provider-switches.js';
import type { PaymentReading } from './reconcile.js';
import type { Difference } from './reconciliations.js';
import { SERVICE_ACTOR, transition, type RefundRow } from './refunds.js';
import { resolvedByPerson } from './resolved-refunds.js';
import { standingOf, type FullStanding, type Standing } from './standing.js';

interface Settled {
  readonly refund: RefundRow;
  readonly attempt: AttemptRow;
  /** A person said that it succeeded, knowing what the provider shows. */
  readonly byPerson: boolean;
}

export interface JudgedSettled {
  readonly differences: readonly Difference[];
  /** When another reading can decide what is in doubt; null: nothing is. */
  readonly readAgainAtMs: number | null;
}

/** The caller holds the payment's lock, and the reading is complete. */
export async function judgeSettled(trx: LedgerTransaction, read: PaymentReading): Promise<JudgedSettled> {
  const { attempts, settled, standing } = await settledRefunds(trx, read.paymentId);
  const differences: Difference[] = [];
  const decidableAtMs: number[] = [];
  for (const one of settled) {
    const { attempt } = one;
    // A reading from before it landed can't contradict it.
    if (read.reading.readAtMs < (attempt.concluded_at?.getTime() ?? 0)) continue;
    const sight = sightOfLanded(oursOf(one), read.reading, {
      landed: [...standing.landed, ...standing.landedLate],
      knownRejected: knownRejected(attempt, attempts),
      anotherIsOpen: standing.open.length > 0,
    });
    // What stands in the place of one refund can't stand in another's as well.
    const isTaken = differences.some(({ kind }) => kind === 'other_amount');
    const judged = await judge(trx, one, sight, { ...read, isTaken }, standing);
    if (judged.difference) differences.push(judged.difference);
    if (judged.decidableAtMs !== null) decidableAtMs.push(judged.decidableAtMs);
  }
  return { differences, readAgainAtMs: decidableAtMs.length > 0 ? Math.max(...decidableAtMs) : null };
}

async function settledRefunds(
  trx: LedgerTransaction,
  paymentId: string,
): Promise<{ attempts: AttemptRow[]; settled: Settled[]; standing: FullStanding }> {
  const payment = await trx
    .selectFrom('payments')
    .selectAll()
    .where('id', '=', paymentId)
    .executeTakeFirstOrThrow();
  const refunds = await trx
    .selectFrom('refunds')
    .selectAll()
    .where('payment_id', '=', paymentId)
    .where('status', '=', 'succeeded')
    .orderBy('id')
    .forUpdate()
    .execute();
  const attempts = await trx
    .selectFrom('provider_attempts')
    .selectAll()
    .where('payment_id', '=', paymentId)
    .where('conclusion', 'in', ['landed', 'declined'])
    .execute();
  const resolved = await resolvedByPerson(trx, paymentId);
  const settled = refunds.flatMap((refund) => {
    const attempt = attempts.find(
      ({ refund_id: id, conclusion }) => id === refund.id && conclusion === 'landed',
    );
    return attempt ? [{ refund, attempt, byPerson: resolved.has(refund.id) }] : [];
  });
  return { attempts, settled, standing: await standingOf(trx, payment) };
}

function oursOf({ refund, attempt }: Settled) {
  return {
    refundId: refund.id,
    amountMinor: attempt.amount_minor,
    providerRefundId: attempt.provider_refund_id,
  };
}

/** Rejected entries of this amount that are older, or another attempt's of ours. */
function knownRejected(attempt: AttemptRow, attempts: readonly AttemptRow[]): number {
  const before = attempt.snapshot.refunds.filter(
    (entry) =>
      entry.status === 'rejected' &&
      entry.providerRefundId === null &&
      entry.amountMinor === attempt.amount_minor,
  );
  const declined = attempts.filter(
    (other) =>
      other.conclusion === 'declined' &&
      other.matched_by !== null &&
      other.provider_refund_id === null &&
      other.amount_minor === attempt.amount_minor,
  );
  // The declined ones may be among those of the snapshot.
  return Math.max(before.length, declined.length);
}

/** With whether a strange entry in it has been taken for one of the refunds already. */
type JudgedReading = PaymentReading & { readonly isTaken: boolean };

interface Judged {
  readonly difference: Difference | null;
  readonly decidableAtMs: number | null;
}

const NOTHING: Judged = { difference: null, decidableAtMs: null };

async function judge(
  trx: LedgerTransaction,
  settled: Settled,
  sight: LandedSight,
  read: JudgedReading,
  standing: Standing,
): Promise<Judged> {
  // Only an explicit word speaks against a person's: what is not shown as it should be was known then.
  if (settled.byPerson && (sight.kind === 'missing' || sight.kind === 'otherAmount')) return NOTHING;
  switch (sight.kind) {
    case 'cannotTell':
      return NOTHING;
    case 'otherAmount':
      return over(await bookOtherAmount(trx, settled, sight.shown, read));
    case 'asItWas':
      return weigh(trx, settled, null, read, standing);
    case 'negative':
    case 'missing':
      return weigh(trx, settled, { ...sight, readAtMs: read.reading.readAtMs }, read, standing);
    default:
      return assertNever(sight);
  }
}

async function weigh(
  trx: LedgerTransaction,
  settled: Settled,
  seen: Doubt | null,
  read: JudgedReading,
  standing: Standing,
): Promise<Judged> {
  const { attempt, refund } = settled;
  // What was doubted before it was settled anew is answered.
  const earlier = attempt.doubts.filter(({ readAtMs }) => readAtMs >= refund.updated_at.getTime());
  const verdict = judgeAfterTheEnd(earlier, seen, read.bounds.quietMs);
  const { doubts } = verdict;
  const changed =
    doubts.length !== attempt.doubts.length || doubts.at(-1)?.readAtMs !== attempt.doubts.at(-1)?.readAtMs;
  if (changed) {
    await updateAttempt(trx, attempt, { doubts: JSON.stringify(doubts) });
  }
  switch (verdict.kind) {
    case 'stands': {
      if (changed) {
        const type = doubts.length > 0 ? 'refund_doubted' : 'doubt_cleared';
        await appendEvent(trx, refund, { type, data: { attempt: attempt.number, doubts } }, read.nowMs);
      }
      const last = doubts.at(-1);
      return { difference: null, decidableAtMs: last ? last.readAtMs + read.bounds.quietMs : null };
    }
    case 'reversed':
      return over(await reverse(trx, settled, doubts, read));
    case 'disappeared': {
      const instead = read.isTaken
        ? null
        : shownInstead(attempt.snapshot.refunds, read.reading, standing.landed);
      return over(
        instead
          ? await bookOtherAmount(trx, settled, instead, read)
          : await askAboutDisappeared(trx, settled, doubts, read),
      );
    }
    default:
      return assertNever(verdict);
  }
}

/** The amount is given back once: the refund leaves `succeeded` in the same transaction. */
async function reverse(
  trx: LedgerTransaction,
  { refund, attempt }: Settled,
  doubts: readonly Doubt[],
  { nowMs }: PaymentReading,
): Promise<Difference> {
  // What shows as not carried out is what it is from now on; its id stays, so that it can't become another's.
  await updateAttempt(trx, attempt, {
    conclusion: 'declined',
    concluded_at: new Date(nowMs),
    matched_by: attempt.matched_by ?? (attempt.provider_refund_id === null ? 'amount' : 'id'),
  });
  await giveBack(trx, refund, nowMs);
  await transition(
    trx,
    refund,
    { status: 'reversed' },
    {
      type: 'refund_reversed',
      origin: 'provider',
      data: { attempt: attempt.number, amount_minor: refund.amount_minor, doubts },
    },
    nowMs,
    { money: 'released' },
  );
  const detail = `Shown as ${doubts.at(-1)?.providerStatus} in two readings a quiet time apart.`;
  return difference('reversed', refund, detail);
}

async function askAboutDisappeared(
  trx: LedgerTransaction,
  { refund, attempt }: Settled,
  doubts: readonly Doubt[],
  { nowMs }: PaymentReading,
): Promise<Difference> {
  const why =
    'The provider no longer shows it as it did when it succeeded, and does not say what became of it.';
  await transition(
    trx,
    refund,
    { status: 'review', reviewReason: why, endsBy: 'person' },
    { type: 'refund_disappeared', data: { attempt: attempt.number, doubts } },
    nowMs,
  );
  return difference('disappeared', refund, why);
}

/** What is shown counts as it is, as external, which the caller books; the refund as it was asked for no longer does. */
async function bookOtherAmount(
  trx: LedgerTransaction,
  { refund, attempt }: Settled,
  shown: ProviderRefund,
  { nowMs }: PaymentReading,
): Promise<Difference> {
  const why = `The provider shows ${shown.amountMinor} for this refund, asked were ${attempt.amount_minor}.`;
  await updateAttempt(trx, attempt, { conclusion: 'other_amount', concluded_at: new Date(nowMs) });
  await giveBack(trx, refund, nowMs);
  await transition(
    trx,
    refund,
    { status: 'review', reviewReason: why, endsBy: 'person' },
    { type: 'other_amount_seen', data: { shown, attempt: attempt.number } },
    nowMs,
    { money: 'released' },
  );
  await pauseProvider(trx, {
    provider: refund.provider,
    actor: SERVICE_ACTOR,
    reason: `Refund ${refund.id}: ${why}`,
    requestId: null,
    nowMs,
  });
  return difference('other_amount', refund, why);
}

async function giveBack(trx: LedgerTransaction, refund: RefundRow, nowMs: number): Promise<void> {
  await trx
    .updateTable('payments')
    .set((set) => ({
      refunded_minor: set('refunded_minor', '-', refund.amount_minor),
      settled_at: new Date(nowMs),
    }))
    .where('id', '=', refund.payment_id)
    .execute();
}

function over(found: Difference): Judged {
  return { difference: found, decidableAtMs: null };
}

function difference(kind: Difference['kind'], refund: RefundRow, detail: string): Difference {
  return { kind, paymentId: refund.payment_id, refundId: refund.id, detail };
}
