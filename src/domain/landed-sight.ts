import { sumMinor } from './money.js';
import { explainRefunds, type OurRefund } from './matching.js';
import type { PaymentSnapshot, ProviderRefund } from './provider.js';

/** How a later reading shows a refund of ours that had landed. */
export type LandedSight =
  | { readonly kind: 'asItWas' }
  | { readonly kind: 'negative' | 'missing'; readonly providerStatus: string }
  | { readonly kind: 'otherAmount'; readonly shown: ProviderRefund }
  /** Another attempt of the payment is open, and a nameless entry may be its own. */
  | { readonly kind: 'cannotTell' };

/** What else the ledger knows of the payment. */
export interface BesideLanded {
  /** All refunds of ours that landed there, this one included. */
  readonly landed: readonly OurRefund[];
  /** Rejected entries without an id, of this amount, that are known to be others'. */
  readonly knownRejected: number;
  readonly anotherIsOpen: boolean;
}

const AS_IT_WAS: LandedSight = { kind: 'asItWas' };

/** By id where the provider gave one. Else by amount, where several equal ones can't be told apart: then none is called negative. */
export function sightOfLanded(
  ours: OurRefund,
  reading: Pick<PaymentSnapshot, 'refunds' | 'totalOnlyMinor' | 'status' | 'providerStatus'>,
  beside: BesideLanded,
): LandedSight {
  if (reading.totalOnlyMinor !== undefined) {
    const landedMinor = sumMinor(beside.landed);
    return reading.totalOnlyMinor >= landedMinor ? AS_IT_WAS : missing(reading.providerStatus);
  }
  const byId = entryOf(ours, reading.refunds);
  if (byId) return sightOfEntry(ours, byId);
  // Pagou: a payment that shows as refunded and lists nothing lists nothing of anybody's.
  if (reading.refunds.length === 0 && reading.status === 'refunded') return AS_IT_WAS;
  if (beside.anotherIsOpen) return { kind: 'cannotTell' };

  const equals = beside.landed.filter(
    (other) => other.amountMinor === ours.amountMinor && !entryOf(other, reading.refunds),
  );
  const ownedIds = new Set(beside.landed.map(({ providerRefundId }) => providerRefundId));
  const entries = reading.refunds.filter(
    ({ amountMinor, providerRefundId }) =>
      amountMinor === ours.amountMinor &&
      (providerRefundId === null || (ours.providerRefundId === null && !ownedIds.has(providerRefundId))),
  );
  const rejected = entries.filter(({ status }) => status === 'rejected');
  if (entries.length - rejected.length >= equals.length) return AS_IT_WAS;
  const isOurs =
    equals.length === 1 && ours.providerRefundId === null && rejected.length > beside.knownRejected;
  const [shown] = rejected;
  return isOurs && shown
    ? { kind: 'negative', providerStatus: shown.providerStatus }
    : missing(reading.providerStatus);
}

/**
 * The one entry that came after our call and that none of ours explains: where ours is gone, it stands in its place.
 * Null where there is none, or more than one.
 */
export function shownInstead(
  before: readonly ProviderRefund[],
  reading: Pick<PaymentSnapshot, 'refunds'>,
  landed: readonly OurRefund[],
): ProviderRefund | null {
  const known = [...before];
  const unexplained = explainRefunds(reading.refunds, landed).external.filter((entry) => {
    const at = known.findIndex(
      (was) =>
        was.amountMinor === entry.amountMinor &&
        (was.providerRefundId === null || was.providerRefundId === entry.providerRefundId),
    );
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
  const [only, ...more] = unexplained;
  return only && more.length === 0 ? only : null;
}

function sightOfEntry(ours: OurRefund, shown: ProviderRefund): LandedSight {
  if (shown.status === 'rejected') return { kind: 'negative', providerStatus: shown.providerStatus };
  return shown.amountMinor === ours.amountMinor ? AS_IT_WAS : { kind: 'otherAmount', shown };
}

function entryOf(ours: OurRefund, shown: readonly ProviderRefund[]): ProviderRefund | undefined {
  if (ours.providerRefundId === null) return undefined;
  return shown.find(({ providerRefundId }) => providerRefundId === ours.providerRefundId);
}

function missing(providerStatus: string): LandedSight {
  return { kind: 'missing', providerStatus };
}
