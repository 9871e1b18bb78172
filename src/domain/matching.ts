import { sumMinor } from './money.js';
import type { PaymentSnapshot, ProviderRefund, ProviderRefundStatus } from './provider.js';

/** A refund of ours that landed at the provider, as the ledger knows it. */
export interface OurRefund {
  readonly refundId: string;
  readonly amountMinor: number;
  /** Null where the provider gave none, or none was learned. */
  readonly providerRefundId: string | null;
}

export interface Explanation {
  /** What the provider shows that no refund of ours explains, but for rejected entries: money that moved without us. */
  readonly external: readonly ProviderRefund[];
  readonly externalMinor: number;
  /** What landed and is not shown: the reading is stale, or cut. */
  readonly missing: readonly OurRefund[];
}

/**
 * Splits what a provider shows into ours and not ours: by id where both sides have one, else by amount. What it booked
 * under our id beyond our amount is not ours.
 * Time excludes nothing: the provider's clock and zone are not ours.
 */
export function explainRefunds(shown: readonly ProviderRefund[], ours: readonly OurRefund[]): Explanation {
  const unexplained = shown.filter((entry) => entry.status !== 'rejected');
  const withId = ours.filter((refund) => refund.providerRefundId !== null);
  const beyondOurs: ProviderRefund[] = [];
  const notById = withId.filter((refund) => {
    const at = unexplained.findIndex((entry) => entry.providerRefundId === refund.providerRefundId);
    const [entry] = at < 0 ? [] : unexplained.splice(at, 1);
    const surplusMinor = (entry?.amountMinor ?? 0) - refund.amountMinor;
    if (entry && surplusMinor > 0) beyondOurs.push({ ...entry, amountMinor: surplusMinor });
    return entry === undefined;
  });
  // An entry without an id may still be one whose id we know; they choose first, as the rest may be any of its amount.
  const notShown = notById.filter(
    (refund) =>
      !take(
        unexplained,
        (entry) => entry.providerRefundId === null && entry.amountMinor === refund.amountMinor,
      ),
  );
  const withoutId = ours.filter((refund) => refund.providerRefundId === null);
  const notByAmount = withoutId.filter(
    (refund) => !take(unexplained, (entry) => entry.amountMinor === refund.amountMinor),
  );
  const missing = [...notShown, ...notByAmount];
  const external = [...unexplained, ...beyondOurs];
  return { external, externalMinor: sumMinor(external), missing };
}

/** The same for a whole reading, whether it lists refunds or shows their total alone. */
export function explainReading(
  reading: Pick<PaymentSnapshot, 'refunds' | 'totalOnlyMinor' | 'providerStatus'>,
  ours: readonly OurRefund[],
): Explanation {
  const { totalOnlyMinor } = reading;
  if (totalOnlyMinor === undefined) return explainRefunds(reading.refunds, ours);
  const externalMinor = totalOnlyMinor - sumMinor(ours);
  if (externalMinor < 0) return { external: [], externalMinor: 0, missing: ours };
  const external = externalMinor === 0 ? [] : [entryOfTotal(externalMinor, reading.providerStatus)];
  return { external, externalMinor, missing: [] };
}

export interface AttemptView {
  readonly amountMinor: number;
  /** What the provider showed just before the call. */
  readonly before: Pick<PaymentSnapshot, 'refunds' | 'totalOnlyMinor' | 'status'>;
  /** The id that the provider's own answer gave, where it gave one. */
  readonly providerRefundId: string | null;
  /** The call was answered "accepted". */
  readonly accepted: boolean;
  /** The provider allows one refund a payment. */
  readonly onlyOneRefund: boolean;
}

export type Match =
  | {
      readonly kind: 'found';
      readonly refund: ProviderRefund;
      readonly matchedBy: 'id' | 'amount' | 'status';
    }
  | { readonly kind: 'absent' }
  /** The reading can't be used, a later one may: cut, or older than the one before the call. */
  | { readonly kind: 'incomplete'; readonly why: string }
  /** The reading is good and yet does not say which entry is ours: a person must look. */
  | {
      readonly kind: 'cannotTell';
      readonly why: string;
      /** The only new entry, of another amount: if ours was booked, it was booked as that. */
      readonly instead?: ProviderRefund;
    }
  /** The provider booked another amount under our refund's id. */
  | { readonly kind: 'otherAmount'; readonly refund: ProviderRefund };

/** What the ledger knows of the payment's other refunds. */
export interface OtherRefunds {
  /** The provider's ids that they own. */
  readonly claimedIds: ReadonlySet<string>;
  /** Those without an id that were claimed after this attempt, and landed: each explains one new entry of its amount. */
  readonly landedSinceMinor: readonly number[];
  /** Those without an id that were under way when this attempt was claimed, and landed: shown before, or new. */
  readonly landedAroundMinor: readonly number[];
  /** Another attempt of the payment is open: a new entry could be either's. */
  readonly anotherIsOpen: boolean;
}

const STALE: Match = {
  kind: 'incomplete',
  why: 'refunds shown before the call are missing: a stale reading',
};

const UNDOCUMENTED: Match = {
  kind: 'incomplete',
  why: "the payment's status is one that no document lists",
};

const HIDDEN: Match = {
  kind: 'cannotTell',
  why: 'an equal refund was shown without an id before the call, and two may be it now',
};

/** Beyond so many refunds under way at once, a reading can't tell them apart anyway. */
const AROUND_MAX = 6;

/**
 * Finds one attempt in what the provider shows now, by difference against the snapshot taken before the call.
 * What landed around the claim may lie on either side of that snapshot: only what holds for every possible side is said.
 */
export function findRefund(attempt: AttemptView, now: PaymentSnapshot, others: OtherRefunds): Match {
  const around = others.landedAroundMinor;
  if (around.length > AROUND_MAX) {
    return { kind: 'cannotTell', why: 'too many refunds were under way at once' };
  }
  const matches = splitsOf(around)
    .filter(({ before }) => holds(attempt.before, before))
    .map(({ since }) =>
      findBeside(attempt, now, { ...others, landedSinceMinor: [...others.landedSinceMinor, ...since] }),
    );
  // A side on which the reading can't be right is none.
  const possible = matches.filter(({ kind }) => kind !== 'incomplete');
  const [first] = possible;
  if (!first) return matches[0] ?? STALE;
  if (!possible.every((match) => isSameMatch(match, first))) {
    return {
      kind: 'cannotTell',
      why: 'refunds of this payment were under way at once, and the reading fits more than one of them',
    };
  }
  // Who shows a refund by the payment's status alone may have said it in the word that no document lists.
  return first.kind === 'absent' && now.status === 'unknown' ? UNDOCUMENTED : first;
}

interface Split {
  readonly before: readonly number[];
  readonly since: readonly number[];
}

/** Every way in which amounts may lie on the two sides of a snapshot. */
function splitsOf(amountsMinor: readonly number[]): Split[] {
  return amountsMinor.reduce<Split[]>(
    (splits, amountMinor) =>
      splits.flatMap(({ before, since }) => [
        { before: [...before, amountMinor], since },
        { before, since: [...since, amountMinor] },
      ]),
    [{ before: [], since: [] }],
  );
}

/** Whether a snapshot has room for these amounts. */
function holds(snapshot: AttemptView['before'], amountsMinor: readonly number[]): boolean {
  if (snapshot.totalOnlyMinor !== undefined) {
    return sumOf(amountsMinor) <= snapshot.totalOnlyMinor;
  }
  const entries = snapshot.refunds.filter(({ status }) => status !== 'rejected');
  return amountsMinor.every((amountMinor) => take(entries, (entry) => entry.amountMinor === amountMinor));
}

function isSameMatch(one: Match, other: Match): boolean {
  return (
    one.kind === other.kind &&
    (one.kind !== 'found' || (other.kind === 'found' && one.refund.status === other.refund.status))
  );
}

function findBeside(attempt: AttemptView, now: PaymentSnapshot, others: OtherRefunds): Match {
  if (!now.complete) return { kind: 'incomplete', why: 'the list of refunds may be cut' };
  if (now.totalOnlyMinor !== undefined) return findInTotal(attempt, now.totalOnlyMinor, now, others);
  if (attempt.before.totalOnlyMinor !== undefined) {
    return findInList(attempt, attempt.before.totalOnlyMinor, now, others);
  }

  const difference = differenceOf(attempt.before.refunds, now.refunds, others.claimedIds);
  if (attempt.providerRefundId !== null) {
    const byId = now.refunds.find((entry) => entry.providerRefundId === attempt.providerRefundId);
    if (!byId) return difference.vanished > 0 ? STALE : { kind: 'absent' };
    if (byId.amountMinor !== attempt.amountMinor) {
      // What was not carried out moved nothing, whatever it says that it was for.
      return byId.status === 'rejected'
        ? { kind: 'cannotTell', why: 'our refund is shown as not carried out, and with another amount' }
        : { kind: 'otherAmount', refund: byId };
    }
    return { kind: 'found', refund: byId, matchedBy: 'id' };
  }

  if (difference.vanished > 0) return STALE;
  const candidates = difference.added.filter(
    (entry) => entry.providerRefundId === null || !others.claimedIds.has(entry.providerRefundId),
  );
  for (const amountMinor of others.landedSinceMinor) {
    const shown =
      take(candidates, (entry) => entry.amountMinor === amountMinor && entry.status === 'succeeded') ||
      take(candidates, (entry) => entry.amountMinor === amountMinor);
    if (!shown) return { kind: 'incomplete', why: 'another settled refund is not shown: a stale reading' };
  }
  const [only, ...more] = candidates;
  if (only === undefined) {
    return (
      byStatusAlone(attempt, now) ?? (mayHideOurs(attempt, difference, others) ? HIDDEN : { kind: 'absent' })
    );
  }
  if (others.anotherIsOpen) return { kind: 'cannotTell', why: 'another attempt on this payment is open' };
  if (more.length > 0) {
    return { kind: 'cannotTell', why: `${candidates.length} new refunds appeared since the call` };
  }
  const rivals = difference.interchangeable.filter((entry) => entry.amountMinor === only.amountMinor);
  if (only.amountMinor !== attempt.amountMinor) {
    const movesMoney = [only, ...rivals].every(({ status }) => status !== 'rejected');
    // Where one refund a payment is the rule and ours was accepted, the one that moves money is ours whatever it says.
    if (attempt.accepted && attempt.onlyOneRefund && movesMoney) return { kind: 'otherAmount', refund: only };
    const why = 'a new refund of another amount appeared since the call';
    return { kind: 'cannotTell', why, ...(movesMoney ? { instead: only } : {}) };
  }
  const refund = leastDecided(only, rivals);
  if (!refund) {
    return { kind: 'cannotTell', why: 'two equal refunds ended differently, and either may be ours' };
  }
  return { kind: 'found', refund, matchedBy: 'amount' };
}

/**
 * An entry from before had no id yet, and an equal one that is new here may be it, having got the id of another refund of
 * ours since: what was taken for it is then ours.
 */
function mayHideOurs(
  { amountMinor }: AttemptView,
  { added, interchangeable }: Difference,
  { claimedIds }: OtherRefunds,
): boolean {
  return (
    interchangeable.some((entry) => entry.amountMinor === amountMinor) &&
    added.some((entry) => entry.amountMinor === amountMinor && claimedIds.has(entry.providerRefundId ?? ''))
  );
}

/** By how much the total grew since the call, less what landed beside it. */
function findInTotal(
  attempt: AttemptView,
  nowMinor: number,
  now: PaymentSnapshot,
  others: OtherRefunds,
): Match {
  const { before } = attempt;
  const beforeMinor =
    before.totalOnlyMinor ?? sumMinor(before.refunds.filter(({ status }) => status !== 'rejected'));
  const landedBesideMinor = sumOf(others.landedSinceMinor);
  const grownMinor = nowMinor - beforeMinor - landedBesideMinor;
  if (grownMinor < 0) return STALE;
  if (grownMinor === 0) return { kind: 'absent' };
  if (others.anotherIsOpen) return { kind: 'cannotTell', why: 'another attempt on this payment is open' };
  if (grownMinor !== attempt.amountMinor) {
    return { kind: 'cannotTell', why: `${grownMinor} more than before the call went back in all` };
  }
  return { kind: 'found', refund: entryOfTotal(grownMinor, now.providerStatus), matchedBy: 'amount' };
}

/** A list now, and only a total before the call: ours is the entry of our amount that the total did not hold yet. */
function findInList(
  attempt: AttemptView,
  beforeMinor: number,
  now: PaymentSnapshot,
  others: OtherRefunds,
): Match {
  const shown = now.refunds.filter(({ status }) => status !== 'rejected');
  const landedBesideMinor = sumOf(others.landedSinceMinor);
  const grownMinor = sumMinor(shown) - beforeMinor - landedBesideMinor;
  if (grownMinor < 0) return STALE;
  if (grownMinor === 0) return { kind: 'absent' };
  if (others.anotherIsOpen) return { kind: 'cannotTell', why: 'another attempt on this payment is open' };
  const [first, ...rivals] = shown.filter(({ amountMinor }) => amountMinor === attempt.amountMinor);
  const ours = grownMinor === attempt.amountMinor && first ? leastDecided(first, rivals) : null;
  return ours
    ? { kind: 'found', refund: { ...ours, providerRefundId: null }, matchedBy: 'amount' }
    : { kind: 'cannotTell', why: 'what is listed now does not fit the total from before the call' };
}

function entryOfTotal(amountMinor: number, providerStatus: string): ProviderRefund {
  return { providerRefundId: null, amountMinor, status: 'succeeded', providerStatus };
}

/**
 * Where an equal refund from before the call can't be told from the new one, ours is no further than the one that is
 * less far, and has no id yet. Null where both have ended, and not alike.
 */
function leastDecided(only: ProviderRefund, rivals: readonly ProviderRefund[]): ProviderRefund | null {
  const open = UNDECIDED.flatMap((status) => [only, ...rivals].filter((entry) => entry.status === status))[0];
  if (rivals.length > 0 && open) return { ...open, providerRefundId: null };
  return rivals.every((rival) => rival.status === only.status) ? only : null;
}

const UNDECIDED: readonly ProviderRefundStatus[] = ['unknown', 'unclear', 'processing'];

/**
 * Pagou without a refund object: StatusRefunded is ours only where the payment was refundable before the call, the
 * call was accepted, and no second refund can exist.
 */
function byStatusAlone(attempt: AttemptView, now: PaymentSnapshot): Match | null {
  if (!attempt.onlyOneRefund || now.status !== 'refunded') return null;
  // Entries that are all explained otherwise say that the status is theirs as well.
  if (now.refunds.length > 0 || attempt.before.status !== 'refundable' || !attempt.accepted) {
    return { kind: 'cannotTell', why: 'the payment is refunded, and nothing says by whom or how much' };
  }
  return {
    kind: 'found',
    matchedBy: 'status',
    refund: {
      providerRefundId: null,
      amountMinor: attempt.amountMinor,
      status: 'succeeded',
      providerStatus: now.providerStatus,
    },
  };
}

interface Difference {
  readonly added: ProviderRefund[];
  readonly vanished: number;
  /** Taken for what was there before by its amount alone, while an added one of that amount may be it as well. */
  readonly interchangeable: readonly ProviderRefund[];
}

/**
 * The multiset difference: by id where an entry had one, else by amount. What had ended stays as it ended; what had
 * not may have changed, and have got an id since, but rather one that no refund of ours owns.
 */
function differenceOf(
  before: readonly ProviderRefund[],
  now: readonly ProviderRefund[],
  claimedIds: ReadonlySet<string>,
): Difference {
  const added = [...now];
  const isOpen = (entry: ProviderRefund): boolean => UNDECIDED.includes(entry.status);
  const notById = before.filter(
    (was) =>
      was.providerRefundId === null ||
      !take(added, (entry) => entry.providerRefundId === was.providerRefundId),
  );
  const withoutId = notById.filter((was) => was.providerRefundId === null);
  const nameless = (entry: ProviderRefund): boolean => entry.providerRefundId === null;
  const unowned = (entry: ProviderRefund): boolean => !claimedIds.has(entry.providerRefundId ?? '');
  const changed = withoutId.filter((was) => {
    const fits = (entry: ProviderRefund): boolean =>
      entry.amountMinor === was.amountMinor && entry.status === was.status && unowned(entry);
    return isOpen(was) || !(take(added, (entry) => fits(entry) && nameless(entry)) || take(added, fits));
  });
  const interchangeable: ProviderRefund[] = [];
  const gone = changed.filter((was) => {
    const alike = added.filter((entry) => entry.amountMinor === was.amountMinor);
    const fits = alike.find(nameless) ?? alike.find(unowned) ?? alike[0];
    if (!fits) return true;
    added.splice(added.indexOf(fits), 1);
    if (unowned(fits)) interchangeable.push(fits);
    return false;
  });
  return { added, vanished: notById.length - withoutId.length + gone.length, interchangeable };
}

/** Takes the first entry that fits out of the list; false where none does. */
function take(entries: ProviderRefund[], fits: (entry: ProviderRefund) => boolean): boolean {
  const at = entries.findIndex(fits);
  if (at >= 0) entries.splice(at, 1);
  return at >= 0;
}

function sumOf(amountsMinor: readonly number[]): number {
  return amountsMinor.reduce((sum, amountMinor) => sum + amountMinor, 0);
}
