/** What a person may decide about a refund in review, given what the ledger holds and the provider shows. Pure. */
import { assertNever } from './errors.js';
import type { Match } from './matching.js';
import type { ProviderRefund } from './provider.js';
import type { LookResult } from './saga-state.js';

export const REVIEW_OUTCOMES = ['succeeded', 'failed', 'resend'] as const;
export type ReviewOutcome = (typeof REVIEW_OUTCOMES)[number];

/** What a fresh reading says of the refund. */
export type Shown =
  | { readonly kind: 'landed' | 'processing' | 'rejected' | 'absent' | 'notSent' | 'otherAmount' }
  /** The reading is good, and yet does not say what became of it. */
  | { readonly kind: 'cannotTell'; readonly why: string; readonly providerStatus: string | null }
  /** Cut, or older than what is known. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'unread'; readonly why: string; readonly wordSuffices: boolean };

export interface ReviewFacts {
  readonly shown: Shown;
  /** By the ledger's own record. */
  readonly landed: boolean;
  /** It had succeeded, and is doubted: what is shown speaks for or against that. */
  readonly settled: boolean;
  /** An attempt may still move money. */
  readonly open: boolean;
  /** What moved was another amount than was asked for. */
  readonly otherAmount: boolean;
  readonly reserved: boolean;
  /** Its amount is held, or fits into what is left of the payment. */
  readonly fits: boolean;
  readonly windowClosed: boolean;
  /** Its call may still be under way until then; null where that is over. */
  readonly underWayUntil: string | null;
  /** The provider asked not to be sent it again before then. */
  readonly silentUntil: string | null;
}

export type Judgement =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'contradicted'; readonly why: string }
  /** It takes a reading that could not be had. */
  | { readonly kind: 'unreadable'; readonly why: string };

export function judge(outcome: ReviewOutcome, facts: ReviewFacts): Judgement {
  switch (outcome) {
    case 'succeeded':
      return judgeSucceeded(facts);
    case 'failed':
      return judgeFailed(facts);
    case 'resend':
      return judgeResend(facts);
    default:
      return assertNever(outcome);
  }
}

function judgeSucceeded({ shown, landed, settled, open, otherAmount, fits }: ReviewFacts): Judgement {
  if (otherAmount) return contradicted('What the provider booked is another amount than was asked for.');
  if (!fits) return contradicted('What is left of the payment no longer holds the amount.');
  if (settled) return judgeSettled(shown, ['landed', 'absent', 'otherAmount', 'cannotTell']);
  if (landed && !open) return ALLOWED;
  switch (shown.kind) {
    case 'landed':
      return ALLOWED;
    case 'processing':
      return contradicted(wordsFor(shown));
    case 'rejected':
    case 'absent':
    case 'notSent':
    case 'otherAmount':
      return landed ? ALLOWED : contradicted(wordsFor(shown));
    case 'cannotTell':
      return ALLOWED;
    case 'incomplete':
      return landed ? unreadable(wordsFor(shown)) : ALLOWED;
    case 'unread':
      return shown.wordSuffices && !landed ? ALLOWED : unreadable(shown.why);
    default:
      return assertNever(shown);
  }
}

/** What had succeeded takes a reading, whatever is said of it. */
function judgeSettled(shown: Shown, allowing: readonly Shown['kind'][]): Judgement {
  if (shown.kind === 'unread' || shown.kind === 'incomplete') return unreadable(wordsFor(shown));
  return allowing.includes(shown.kind) ? ALLOWED : contradicted(wordsFor(shown));
}

function judgeFailed(facts: ReviewFacts): Judgement {
  const { shown, landed, settled, open, otherAmount, underWayUntil } = facts;
  if (settled) return judgeSettled(shown, ['absent', 'rejected']);
  // What has no room in the payment stays counted as moved outside: nothing else can be said of it.
  const isOutside = !facts.reserved && !facts.fits;
  if (landed) return isOutside ? ALLOWED : contradicted('It landed at the provider.');
  if (otherAmount && !open) return ALLOWED;
  switch (shown.kind) {
    case 'landed':
    case 'processing':
      return contradicted(wordsFor(shown));
    case 'incomplete':
      return unreadable(wordsFor(shown));
    case 'unread':
      if (!shown.wordSuffices) return unreadable(shown.why);
      break;
    case 'rejected':
    case 'absent':
    case 'notSent':
    case 'otherAmount':
    case 'cannotTell':
      break;
    default:
      return assertNever(shown);
  }
  return underWayUntil === null ? ALLOWED : contradicted(`Its call may be under way until ${underWayUntil}.`);
}

function judgeResend(facts: ReviewFacts): Judgement {
  const { shown, landed, otherAmount, reserved, windowClosed, underWayUntil, silentUntil } = facts;
  if (landed) return contradicted('It landed at the provider.');
  if (otherAmount) return contradicted('The provider booked another amount under it.');
  if (!reserved) return contradicted('Nothing is reserved for it any more: ask for a new refund.');
  if (windowClosed) return contradicted('The refund window is over: nothing may be sent any more.');
  switch (shown.kind) {
    case 'landed':
    case 'processing':
    case 'rejected':
    case 'otherAmount':
    case 'cannotTell':
      return contradicted(wordsFor(shown));
    case 'incomplete':
    case 'unread':
      return unreadable(wordsFor(shown));
    case 'absent':
    case 'notSent':
      break;
    default:
      return assertNever(shown);
  }
  if (underWayUntil !== null) return contradicted(`Its call may be under way until ${underWayUntil}.`);
  if (silentUntil !== null) return contradicted(`The provider asked to wait until ${silentUntil}.`);
  return ALLOWED;
}

const ALLOWED: Judgement = { kind: 'allowed' };

function contradicted(why: string): Judgement {
  return { kind: 'contradicted', why };
}

function unreadable(why: string): Judgement {
  return { kind: 'unreadable', why };
}

/** One sentence for people. */
export function wordsFor(shown: Shown): string {
  switch (shown.kind) {
    case 'landed':
      return 'The provider shows it as done.';
    case 'processing':
      return 'The provider shows it as under way: it ends by itself.';
    case 'rejected':
      return 'The provider shows it as not carried out.';
    case 'absent':
      return 'The provider does not show it.';
    case 'notSent':
      return 'It was never sent.';
    case 'otherAmount':
      return 'The provider shows another amount under it.';
    case 'cannotTell':
      return shown.why;
    case 'incomplete':
      return 'The provider’s list is cut, or older than what is known: read it again.';
    case 'unread':
      return shown.why;
    default:
      return assertNever(shown);
  }
}

/** As `recordLook` understood it, and stored it. */
export function shownByLook(result: LookResult): Shown {
  switch (result.kind) {
    case 'landed':
    case 'rejected':
    case 'processing':
    case 'absent':
    case 'notSent':
    case 'otherAmount':
      return { kind: result.kind };
    case 'unclear':
    case 'unknownStatus':
      return unclearStatus(result.providerStatus);
    case 'cannotTell':
      return { kind: 'cannotTell', why: result.why, providerStatus: null };
    case 'unavailable':
      return { kind: 'incomplete' };
    case 'awaitsVotes':
    case 'awaitsPerson':
      return { kind: 'cannotTell', why: 'A person must decide.', providerStatus: null };
    default:
      return assertNever(result);
  }
}

/** The same of a match that nobody stores. */
export function shownByMatch(match: Match): Shown {
  switch (match.kind) {
    case 'found':
      switch (match.refund.status) {
        case 'succeeded':
          return { kind: 'landed' };
        case 'processing':
        case 'rejected':
          return { kind: match.refund.status };
        case 'unclear':
        case 'unknown':
          return unclearStatus(match.refund.providerStatus);
        default:
          return assertNever(match.refund.status);
      }
    case 'absent':
    case 'incomplete':
    case 'otherAmount':
      return { kind: match.kind };
    case 'cannotTell':
      return { kind: 'cannotTell', why: match.why, providerStatus: null };
    default:
      return assertNever(match);
  }
}

function unclearStatus(providerStatus: string): Shown {
  return {
    kind: 'cannotTell',
    providerStatus,
    why: `The provider shows it as ${providerStatus}, which says neither that money moved nor that it did not.`,
  };
}

export interface Owner {
  readonly refundId: string;
  readonly number: number;
  readonly amountMinor: number;
  readonly providerRefundId: string | null;
}

/** Beside each entry that is shown: whose it is and by what, null where no refund of ours explains it. */
export function ownersOf(
  shown: readonly ProviderRefund[],
  ours: readonly Owner[],
): readonly ({ readonly owner: Owner; readonly by: 'id' | 'amount' } | null)[] {
  const left = [...ours];
  const take = (fits: (owner: Owner) => boolean): Owner | null => {
    const at = left.findIndex(fits);
    return (at < 0 ? undefined : left.splice(at, 1)[0]) ?? null;
  };
  const byId = shown.map(({ providerRefundId: id }) =>
    id === null ? null : take((owner) => owner.providerRefundId === id),
  );
  return shown.map(({ amountMinor, status }, at) => {
    const known = byId[at];
    if (known) return { owner: known, by: 'id' };
    const equal = status === 'rejected' ? null : take((owner) => owner.amountMinor === amountMinor);
    return equal && { owner: equal, by: 'amount' };
  });
}
