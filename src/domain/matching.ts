import type { PaymentSnapshot, ProviderRefund } from './provider.js';

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
 * Splits what a provider shows into ours and not ours: by id where both sides have one, else by amount.
 * Time excludes nothing: the provider's clock and zone are not ours.
 */
export function explainRefunds(shown: readonly ProviderRefund[], ours: readonly OurRefund[]): Explanation {
  const unexplained = shown.filter((entry) => entry.status !== 'rejected');
  const withoutId: OurRefund[] = [];
  const missing: OurRefund[] = [];
  for (const refund of ours) {
    if (refund.providerRefundId === null) {
      withoutId.push(refund);
      continue;
    }
    const at = unexplained.findIndex((entry) => entry.providerRefundId === refund.providerRefundId);
    if (at >= 0) unexplained.splice(at, 1);
    // An entry without an id may still be this one.
    else withoutId.push(refund);
  }
  for (const refund of withoutId) {
    const at = unexplained.findIndex(
      (entry) =>
        entry.amountMinor === refund.amountMinor &&
        (entry.providerRefundId === null || refund.providerRefundId === null),
    );
    if (at >= 0) unexplained.splice(at, 1);
    else missing.push(refund);
  }
  return { external: unexplained, externalMinor: sumMinor(unexplained), missing };
}

export interface AttemptView {
  readonly amountMinor: number;
  /** What the provider showed just before the call. */
  readonly before: Pick<PaymentSnapshot, 'refunds' | 'status'>;
  /** The id that the provider's own answer gave, where it gave one. */
  readonly providerRefundId: string | null;
  /** The call was answered "accepted". */
  readonly accepted: boolean;
  /** The provider allows one refund a payment. */
  readonly onlyOneRefund: boolean;
}

export type Match =
  | { readonly kind: 'found'; readonly refund: ProviderRefund; readonly matchedBy: 'id' | 'amount' | 'status' }
  | { readonly kind: 'absent' }
  /** The reading can't be used, a later one may: cut, or older than the one before the call. */
  | { readonly kind: 'incomplete'; readonly why: string }
  /** The reading is good and yet does not say which entry is ours: a person must look. */
  | { readonly kind: 'cannotTell'; readonly why: string }
  /** The provider booked another amount under our refund's id. */
  | { readonly kind: 'otherAmount'; readonly refund: ProviderRefund };

/** What the ledger knows of the payment's other refunds. */
export interface OtherRefunds {
  /** The provider's ids that they own. */
  readonly claimedIds: ReadonlySet<string>;
  /** Those that landed since this attempt's claim without an id: each explains one entry of its amount. */
  readonly landedWithoutIdMinor: readonly number[];
  /** Another attempt of the payment is open: a new entry could be either's. */
  readonly anotherIsOpen: boolean;
}

/** Finds one attempt in what the provider shows now, by difference against the snapshot taken before the call. */
export function findRefund(attempt: AttemptView, now: PaymentSnapshot, others: OtherRefunds): Match {
  if (!now.complete) return { kind: 'incomplete', why: 'the list of refunds may be cut' };

  if (attempt.providerRefundId !== null) {
    const byId = now.refunds.find((entry) => entry.providerRefundId === attempt.providerRefundId);
    if (!byId) return { kind: 'absent' };
    if (byId.amountMinor !== attempt.amountMinor) return { kind: 'otherAmount', refund: byId };
    return { kind: 'found', refund: byId, matchedBy: 'id' };
  }

  const difference = differenceOf(attempt.before.refunds, now.refunds);
  if (difference.vanished > 0) return { kind: 'incomplete', why: 'refunds shown before the call are missing: a stale reading' };
  const candidates = difference.added.filter(
    (entry) => entry.providerRefundId === null || !others.claimedIds.has(entry.providerRefundId),
  );
  for (const amountMinor of others.landedWithoutIdMinor) {
    const at = candidates.findIndex((entry) => entry.amountMinor === amountMinor);
    if (at < 0) return { kind: 'incomplete', why: 'another settled refund is not shown: a stale reading' };
    candidates.splice(at, 1);
  }
  const [only, ...more] = candidates;
  if (only === undefined) return byStatusAlone(attempt, now) ?? { kind: 'absent' };
  if (others.anotherIsOpen) return { kind: 'cannotTell', why: 'another attempt on this payment is open' };
  if (more.length > 0) return { kind: 'cannotTell', why: `${candidates.length} new refunds appeared since the call` };
  if (only.amountMinor !== attempt.amountMinor) {
    // Where one refund a payment is the rule and ours was accepted, the one entry is ours whatever it says.
    if (attempt.accepted && attempt.onlyOneRefund) return { kind: 'otherAmount', refund: only };
    return { kind: 'cannotTell', why: 'a new refund of another amount appeared since the call' };
  }
  return { kind: 'found', refund: only, matchedBy: 'amount' };
}

/**
 * Pagou without a refund object: StatusRefunded is ours only where the payment was refundable before the call, the
 * call was accepted, and no second refund can exist.
 */
function byStatusAlone(attempt: AttemptView, now: PaymentSnapshot): Match | null {
  if (!attempt.onlyOneRefund || now.status !== 'refunded') return null;
  if (attempt.before.status !== 'refundable' || !attempt.accepted) {
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

/** The multiset difference: by id where an entry has one, else by amount. */
function differenceOf(
  before: readonly ProviderRefund[],
  now: readonly ProviderRefund[],
): { added: ProviderRefund[]; vanished: number } {
  const added = [...now];
  let vanished = 0;
  for (const entry of before) {
    const at = added.findIndex((candidate) =>
      entry.providerRefundId === null
        ? candidate.amountMinor === entry.amountMinor
        : candidate.providerRefundId === entry.providerRefundId,
    );
    if (at >= 0) added.splice(at, 1);
    else vanished += 1;
  }
  return { added, vanished };
}

function sumMinor(entries: readonly ProviderRefund[]): number {
  return entries.reduce((sum, entry) => sum + entry.amountMinor, 0);
}
