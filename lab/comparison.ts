/**
 * The books of both sides against each other and against what clients were told. Pure: what is read where is in
 * books.ts. A refund may be open in the end only for a reason that the provider's own book shows.
 */
import { isOpen, type RefundStatus } from '../src/domain/refund.js';

export interface PaymentStory {
  readonly id: string;
  readonly provider: string;
  readonly amountMinor: number;
  readonly ledger: {
    readonly refundedMinor: number;
    readonly reservedMinor: number;
    readonly externalMinor: number;
  };
  readonly refunds: readonly RefundStory[];
  /** The provider's own book, what it hides from readers included. */
  readonly shown: readonly ShownRefund[];
  /** Faults that struck its calls: bare names for submits (`too_late_effect`: past the quiet time), `read stale_read`. */
  readonly struck: readonly string[];
}

export interface RefundStory {
  readonly id: string;
  readonly amountMinor: number;
  readonly status: RefundStatus;
  /** Of a pending, failed or reviewed one. */
  readonly reason: string | null;
  readonly money: 'reserved' | 'refunded' | 'released';
  readonly providerRefundId: string | null;
  /** How each attempt ended; null: it is open. */
  readonly attempts: readonly (string | null)[];
}

export interface ShownRefund {
  readonly id: string;
  readonly amountMinor: number;
  readonly status: 'pending' | 'succeeded' | 'rejected' | 'unclear';
  readonly origin: 'api' | 'panel';
  readonly fates: readonly string[];
}

/** What a client asked for under one key, and what it was told each time. */
export interface AskStory {
  readonly key: string;
  readonly paymentId: string;
  readonly amountMinor: number;
  readonly answers: readonly Told[];
}

export interface Told {
  readonly status: number;
  /** Of a 202. */
  readonly refundId: string | null;
  /** Of a problem. */
  readonly code: string | null;
}

export type DiscrepancyKind =
  | 'double_landing'
  | 'money_without_refund'
  | 'succeeded_without_money'
  | 'failed_with_money'
  | 'failed_without_reason'
  | 'wrong_amount'
  | 'wrong_sum'
  | 'stuck'
  | 'review_without_reason'
  | 'lost_refund'
  | 'refused_without_reason'
  | 'two_answers'
  | 'unanswered'
  | 'server_error'
  | 'died'
  | 'broken_trail';

export interface Discrepancy {
  readonly kind: DiscrepancyKind;
  /** The payment, refund or key. */
  readonly subject: string;
  readonly detail: string;
}

/** `isReconciled`: every payment was read again after the last effect. */
export function comparePayment(story: PaymentStory, isReconciled: boolean): Discrepancy[] {
  return [
    ...compareMoney(story, isReconciled),
    ...compareSums(story),
    ...story.refunds.flatMap((each) => judge(story, each)),
  ];
}

/** Open, and nobody but us keeps it open: what the lab waits for after the storm. */
export function isDecidable(story: PaymentStory, refund: RefundStory): boolean {
  return isOpen(refund.status) && whyOpen(story, refund) === null;
}

/** Faults after which a person may have to look, whatever the service does. */
const UNDECIDABLE = [
  'too_late_effect',
  'other_amount',
  'refused_after_effect',
  'taken_back',
  'vanishes',
  'unclear',
];

/** Faults by which a provider says no. */
const REFUSALS = [
  'declined',
  'reject_later',
  'refused_after_effect',
  'token_expired',
  'insufficient_balance',
];

/** By amount, since not every provider shows ids: entries that moved money against refunds that may explain them. */
function compareMoney(story: PaymentStory, isReconciled: boolean): Discrepancy[] {
  const amounts = new Set([...story.shown, ...story.refunds].map(({ amountMinor }) => amountMinor));
  return [...amounts].flatMap((amountMinor) => {
    const refunds = story.refunds.filter((refund) => refund.amountMinor === amountMinor);
    const shown = story.shown.filter((entry) => entry.amountMinor === amountMinor);
    const moved = shown.filter(({ origin, status }) => origin === 'api' && status !== 'rejected');
    const panel = shown.filter(({ origin }) => origin === 'panel');
    const done = moved.filter(({ status }) => status === 'succeeded');
    const succeeded = refunds.filter(({ status }) => status === 'succeeded');
    const open = refunds.filter(({ status }) => isOpen(status));
    const unexplained = moved.length - succeeded.length - open.length;
    const say = (kind: DiscrepancyKind): Discrepancy[] => [
      {
        kind,
        subject: `${story.provider} ${story.id}`,
        detail: `${moved.length} times ${amountMinor} left at the provider; ours: ${describe(refunds)}; ${context(story)}`,
      },
    ];
    // Where no id tells them apart, the panel's money may have been adopted: the sum is right all the same.
    if (succeeded.length > done.length + panel.length) {
      return awaitsReconciliation(story, isReconciled) ? [] : say('succeeded_without_money');
    }
    if (unexplained <= 0 || isKnownOf(story, unexplained * amountMinor, isReconciled)) return [];
    if (refunds.length > 0) {
      return say(moved.length > refunds.length ? 'double_landing' : 'failed_with_money');
    }
    return say(
      moved.some(({ fates }) => fates.includes('other_amount')) ? 'money_without_refund' : 'wrong_amount',
    );
  });
}

/** Money beyond what was asked for: a person was called, or it is counted as moved without us. */
function isKnownOf(story: PaymentStory, extraMinor: number, isReconciled: boolean): boolean {
  const mayOvershoot = story.struck.some((name) => UNDECIDABLE.includes(name));
  if (!mayOvershoot) return false;
  const called = story.refunds.some(({ status }) => status === 'review');
  const counted = story.ledger.externalMinor >= extraMinor;
  // What lands after the end of its refund is seen by nobody before the next reconciliation.
  return called || counted || awaitsReconciliation(story, isReconciled);
}

function awaitsReconciliation(story: PaymentStory, isReconciled: boolean): boolean {
  // PicPay's answer to a refund shows no amount.
  const isUnseen = story.provider === 'picpay' && story.struck.includes('other_amount');
  return !isReconciled && (isUnseen || story.struck.includes('too_late_effect'));
}

function compareSums(story: PaymentStory): Discrepancy[] {
  const { ledger, refunds, shown } = story;
  const held = (money: RefundStory['money']): number =>
    sumOf(refunds.filter((refund) => refund.money === money));
  const panelMinor = sumOf(shown.filter(({ origin }) => origin === 'panel'));
  const mayOvershoot = story.struck.some((name) => UNDECIDABLE.includes(name));
  const wrong = [
    ledger.refundedMinor !== held('refunded') &&
      `refunded ${ledger.refundedMinor}, its refunds ${held('refunded')}`,
    ledger.reservedMinor !== held('reserved') &&
      `reserved ${ledger.reservedMinor}, its refunds ${held('reserved')}`,
    ledger.refundedMinor + ledger.reservedMinor > story.amountMinor && 'more than the payment',
    ledger.externalMinor > panelMinor &&
      !mayOvershoot &&
      `external ${ledger.externalMinor}, the panel ${panelMinor}`,
  ];
  return wrong
    .filter((each) => each !== false)
    .map((detail) => ({ kind: 'wrong_sum', subject: `${story.provider} ${story.id}`, detail }));
}

function judge(story: PaymentStory, refund: RefundStory): Discrepancy[] {
  const say = (kind: DiscrepancyKind, detail: string): Discrepancy[] => [
    {
      kind,
      subject: `${story.provider} ${refund.id}`,
      detail: `${detail}; ${describe([refund])}; ${context(story)}`,
    },
  ];
  switch (refund.status) {
    case 'requires_approval':
    case 'pending':
      return whyOpen(story, refund) === null
        ? say('stuck', 'nothing that the provider shows keeps it open')
        : [];
    case 'review':
      return whyOpen(story, refund) === null
        ? say('review_without_reason', 'the provider’s book is clear')
        : [];
    case 'succeeded': {
      const landings = refund.attempts.filter((conclusion) => conclusion === 'landed').length;
      if (landings !== 1 || refund.attempts.includes(null)) {
        return say('double_landing', 'not one landed attempt');
      }
      const own = story.shown.find(({ id }) => id === refund.providerRefundId);
      if (own && own.amountMinor !== refund.amountMinor) {
        return say('wrong_amount', `${own.amountMinor} were booked`);
      }
      // After a lost answer the one new entry of our amount is taken for ours: nothing tells it from the panel's.
      if (own && own.origin === 'panel' && story.struck.length === 0) {
        return say('money_without_refund', 'the panel’s money was taken for ours');
      }
      return [];
    }
    case 'failed':
      return mayFail(story, refund) ? [] : say('failed_without_reason', 'nobody refused it');
    case 'rejected':
    case 'expired':
    case 'canceled':
    case 'reversed':
      return say('failed_without_reason', 'nobody asked for this end');
  }
}

/** Why a refund may still be open; null where nothing but us keeps it so. */
function whyOpen(story: PaymentStory, refund: RefundStory): string | null {
  const undecided = story.shown.some(({ status }) => status === 'pending' || status === 'unclear');
  if (undecided) return 'the provider has not decided';
  const struckBy = story.struck.find((name) => UNDECIDABLE.includes(name));
  if (refund.status === 'review') {
    if (struckBy !== undefined) return struckBy;
    // A new entry beside ours: the reading does not say which is which.
    if (story.shown.some(({ origin }) => origin === 'panel')) return 'the panel moved money meanwhile';
    // By design one automatic resend: after a second lost answer a person decides.
    if (refund.attempts.length > 1 && landingsLeft(story, refund) <= 0) return 'sent twice, never seen';
    return null;
  }
  // A refresh token is good for one use: an answer lost with the next one in it ends the user's consent.
  if (refund.reason === 'authorization_required' && story.provider === 'picpay') {
    return 'its user must sign in again';
  }
  const holder = story.refunds.some((other) => other.id !== refund.id && other.status === 'review');
  return refund.reason === 'queued' && holder ? 'it waits for one in review' : null;
}

/** Entries of this amount that no succeeded refund explains. */
function landingsLeft(story: PaymentStory, { amountMinor }: RefundStory): number {
  const alike = (each: { amountMinor: number }): boolean => each.amountMinor === amountMinor;
  const landed = story.shown
    .filter((entry) => entry.origin === 'api' && entry.status !== 'rejected')
    .filter(alike);
  return landed.length - story.refunds.filter(({ status }) => status === 'succeeded').filter(alike).length;
}

function mayFail(story: PaymentStory, { reason }: RefundStory): boolean {
  if (story.struck.some((name) => REFUSALS.includes(name))) return true;
  if (story.shown.some(({ status }) => status === 'rejected')) return true;
  // Money that left without us, or in another amount, can leave too little for what was asked before.
  const lessIsLeft = story.shown.some(
    ({ origin, fates }) => origin === 'panel' || fates.includes('other_amount'),
  );
  return lessIsLeft && reason !== 'refund_window_expired';
}

export interface Told202 {
  readonly id: string;
  readonly amountMinor: number;
}

/** `known`: the refunds that the ledger holds; `touched`: payments on which money moved without us. */
export function compareAnswers(
  asks: readonly AskStory[],
  known: ReadonlyMap<string, Told202>,
  touched: ReadonlySet<string>,
): Discrepancy[] {
  const ownerOf = new Map<string, string>();
  return asks.flatMap((ask) => {
    const say = (kind: DiscrepancyKind, detail: string): Discrepancy => ({ kind, subject: ask.key, detail });
    const told = ask.answers.map(({ status, refundId, code }) => refundId ?? `${status} ${code}`);
    const found: Discrepancy[] = [];
    if (told.length === 0) found.push(say('unanswered', 'no answer but 503 and broken connections'));
    if (new Set(told).size > 1) found.push(say('two_answers', told.join(' and then ')));
    for (const { status, refundId, code } of ask.answers) {
      if (status >= 500) found.push(say('server_error', `${status} ${code}`));
      if (refundId === null) {
        if (status !== 422 || !touched.has(ask.paymentId)) {
          found.push(say('refused_without_reason', `${status} ${code}`));
        }
        continue;
      }
      const owner = ownerOf.get(refundId) ?? ask.key;
      ownerOf.set(refundId, owner);
      if (owner !== ask.key) found.push(say('two_answers', `${refundId} is also that of ${owner}`));
      const refund = known.get(refundId);
      if (!refund) found.push(say('lost_refund', `${refundId} was promised and is not in the ledger`));
      else if (refund.amountMinor !== ask.amountMinor) {
        found.push(say('wrong_amount', `${refundId} is of ${refund.amountMinor}`));
      }
    }
    return found;
  });
}

function context({ struck, shown }: PaymentStory): string {
  return `struck: ${struck.join(', ')}; shown: ${JSON.stringify(shown)}`;
}

function describe(refunds: readonly RefundStory[]): string {
  return refunds
    .map(
      ({ id, amountMinor, status, reason, attempts }) =>
        `${id} of ${amountMinor} ${status}${reason === null ? '' : ` (${reason})`} attempts [${attempts.map((each) => each ?? 'open').join(', ')}]`,
    )
    .join('; ');
}

function sumOf(entries: readonly { readonly amountMinor: number }[]): number {
  return entries.reduce((sum, { amountMinor }) => sum + amountMinor, 0);
}
