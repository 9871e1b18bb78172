import { sumMinor } from '../../src/domain/money.js';
import { explainReading, type OtherRefunds, type OurRefund } from '../../src/domain/matching.js';
import { keyOf, refundOf, type AttemptRow, type Books, type Reading } from './books.js';

export interface Landing extends OurRefund {
  readonly number: number;
  readonly settled: boolean;
}

export interface Standing {
  readonly landed: readonly Landing[];
  /** Landed when no reservation waited for it any more: counted as external. */
  readonly landedLate: readonly Landing[];
  readonly open: readonly AttemptRow[];
  /** Attempts that have an id of the provider, whatever became of them. */
  readonly owned: readonly AttemptRow[];
  readonly liveRefunds: number;
}

export function standingOf(books: Books): Standing {
  const attempts = books.attempts.filter(({ conclusion }) => conclusion === 'landed');
  const landings = attempts.map((attempt, at) => {
    const { refundId, number, amountMinor, providerRefundId } = attempt;
    const { money } = refundOf(books, refundId);
    // A refund's money covers one landing.
    const late = money === 'released' || attempts[at - 1]?.refundId === refundId;
    return { refundId, number, amountMinor, providerRefundId, settled: money === 'refunded', late };
  });
  return {
    landed: landings.filter(({ late }) => !late),
    landedLate: landings.filter(({ late }) => late),
    open: books.attempts.filter(({ conclusion }) => conclusion === null),
    owned: books.attempts.filter(({ providerRefundId }) => providerRefundId !== null),
    liveRefunds: books.refunds.filter(({ money }) => money !== 'released').length,
  };
}

/** Books what moved without us; only while no attempt is open, and never lowered by an older or a lesser reading. */
export function bookExternal(books: Books, standing: Standing, reading: Reading): void {
  if (standing.open.length > 0 || !reading.complete) return;
  const { payment, rules } = books;
  const { externalMinor, missing } = explainReading(reading, standing.landed);
  const fresh = missing.length === 0 && rules.mayLowerExternal(books, standing, reading);
  const bookedMinor = fresh ? externalMinor : Math.max(externalMinor, payment.externalMinor);
  for (const effect of reading.shows) books.booked.add(effect);
  if (bookedMinor === payment.externalMinor) return;
  payment.externalMinor = bookedMinor;
  payment.externalReadAtMs = Math.max(reading.readAtMs, knownSinceMs(books));
}

/** Whether a reading is new enough, and whole enough, to say that less went back than was believed. */
export function mayLowerExternal(books: Books, standing: Standing, reading: Reading): boolean {
  return reading.readAtMs >= knownSinceMs(books) && !showsLess(books, standing, reading);
}

export function showsLess({ payment }: Books, standing: Standing, reading: Reading): boolean {
  const shownMinor = reading.totalOnlyMinor ?? sumMinor(reading.refunds);
  return shownMinor < sumMinor(standing.landed) + payment.externalMinor;
}

function knownSinceMs({ payment }: Books): number {
  return Math.max(payment.settledAtMs, payment.externalReadAtMs);
}

/** What the ledger knows of the payment's other attempts, this refund's own included, for the matcher. */
export function othersOf(attempt: AttemptRow, standing: Standing, reading: Reading): OtherRefunds {
  const isOther = (other: { refundId: string; number: number }): boolean =>
    other.refundId !== attempt.refundId || other.number !== attempt.number;
  const landed = [...standing.landed, ...standing.landedLate].filter(isOther);
  // A total holds what has an id as well.
  const isInTotal = reading.totalOnlyMinor !== undefined || attempt.snapshot.totalOnlyMinor !== undefined;
  const nameless = landed.filter(({ providerRefundId }) => isInTotal || providerRefundId === null);
  const known = attempt.knownAtClaim;
  const around = nameless.filter((other) => known.open.includes(keyOf(other)));
  const since = nameless.filter(
    (other) => !known.open.includes(keyOf(other)) && !known.landed.includes(keyOf(other)),
  );
  return {
    claimedIds: new Set(
      standing.owned.filter(isOther).flatMap(({ providerRefundId }) => providerRefundId ?? []),
    ),
    landedSinceMinor: since.map(({ amountMinor }) => amountMinor),
    landedAroundMinor: around.map(({ amountMinor }) => amountMinor),
    anotherIsOpen: standing.open.some(isOther),
  };
}
