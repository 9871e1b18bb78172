/**
 * The books of both sides against each other and against what clients were told, after a reconciliation that came later
 * than the last effect. Pure: what is read where is in books.ts. A refund may be open in the end only for a reason that
 * the provider's own book shows.
 */
import { isOpen } from '../src/domain/refund.js';
import type {
  AskStory,
  Decision,
  Discrepancy,
  DiscrepancyKind,
  PaymentStory,
  RefundStory,
  Trip,
} from './stories.js';

export function comparePayment(story: PaymentStory): Discrepancy[] {
  return [
    ...compareMoney(story),
    ...compareSums(story),
    ...story.refunds.flatMap((each) => judge(story, each)),
  ];
}

/** Open, and nobody but us keeps it open: what the lab waits for after the storm. */
export function isDecidable(story: PaymentStory, refund: RefundStory): boolean {
  if (refund.status === 'requires_approval') return refund.approval?.isOver !== false;
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
function compareMoney(story: PaymentStory): Discrepancy[] {
  const amounts = new Set([...story.shown, ...story.refunds].map(({ amountMinor }) => amountMinor));
  return [...amounts].flatMap((amountMinor) => {
    const refunds = story.refunds.filter((refund) => refund.amountMinor === amountMinor);
    const shown = story.shown.filter((entry) => entry.amountMinor === amountMinor);
    const moved = shown.filter(
      ({ origin, status, hidden }) => origin === 'api' && status !== 'rejected' && !hidden,
    );
    const panel = shown.filter(({ origin }) => origin === 'panel');
    const done = moved.filter(({ status }) => status === 'succeeded');
    const succeeded = refunds.filter(({ status }) => status === 'succeeded');
    // What is shown no longer did move, as a person may have found out.
    const vouchedFor = Math.min(
      shown.filter(({ hidden }) => hidden).length,
      refunds.filter(({ resolved }) => resolved === 'succeeded').length,
    );
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
    if (succeeded.length > done.length + vouchedFor + panel.length) return say('succeeded_without_money');
    if (unexplained <= 0 || isKnownOf(story, unexplained * amountMinor)) return [];
    if (refunds.length > 0) {
      return say(moved.length > refunds.length ? 'double_landing' : 'failed_with_money');
    }
    return say(
      moved.some(({ fates }) => fates.includes('other_amount')) ? 'money_without_refund' : 'wrong_amount',
    );
  });
}

/** Money beyond what was asked for: a person was called, or it is counted as moved without us. */
function isKnownOf(story: PaymentStory, extraMinor: number): boolean {
  const mayOvershoot = story.struck.some((name) => UNDECIDABLE.includes(name));
  const called = story.refunds.some(({ status }) => status === 'review');
  return mayOvershoot && (called || story.ledger.externalMinor >= extraMinor);
}

function compareSums(story: PaymentStory): Discrepancy[] {
  const { ledger, refunds, shown } = story;
  const ledgerMinor = ledger.refundedMinor + ledger.reservedMinor + ledger.externalMinor;
  const visible = shown.filter(({ status, hidden }) => status !== 'rejected' && !hidden);
  const certainMinor = sumOf(visible.filter(({ status }) => status !== 'unclear'));
  // Until an attempt ends, what is new may be its own, and is booked as nobody's.
  const isDecided = refunds.every(({ attempts }) => !attempts.includes(null));
  // What a person must look at, or has looked at, may be counted though nobody is shown it.
  const doubtedMinor =
    ledger.reservedMinor +
    sumOf(refunds.filter(({ status, money }) => status === 'review' && money === 'refunded')) +
    sumOf(shown.filter(({ hidden }) => hidden));
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
    isDecided && ledgerMinor < certainMinor && `${ledgerMinor} in all, the provider moved ${certainMinor}`,
    ledgerMinor > sumOf(visible) + doubtedMinor &&
      `${ledgerMinor} in all, the provider moved ${sumOf(visible)} and may have moved ${doubtedMinor}`,
    ledger.externalMinor > panelMinor &&
      !mayOvershoot &&
      `external ${ledger.externalMinor}, the panel ${panelMinor}`,
  ];
  return wrong
    .filter((each) => each !== false)
    .map((detail) => ({
      kind: 'wrong_sum',
      subject: `${story.provider} ${story.id}`,
      detail: `${detail}; external ${ledger.externalMinor}; ${describe(refunds)}; ${context(story)}`,
    }));
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
      return isDecidable(story, refund) ? say('waits_past_end', 'the time for votes is over') : [];
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
      const landedOnce = landings === 1 || (landings > 1 && refund.resolved === 'succeeded');
      if (!landedOnce || refund.attempts.includes(null)) {
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
      return [
        ...(refund.money === 'released'
          ? []
          : say('reservation_kept', `its amount is still ${refund.money}`)),
        ...(refund.attempts.some((conclusion) => conclusion === null || conclusion === 'landed')
          ? say('failed_with_money', 'it was sent, and has ended all the same')
          : []),
      ];
    case 'reversed':
      return story.shown.some(
        ({ status, fates, amountMinor }) =>
          status === 'rejected' && fates.includes('taken_back') && amountMinor === refund.amountMinor,
      )
        ? []
        : say('failed_without_reason', 'the provider took nothing back');
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
  const isLacking = story.shown.some(({ hidden, fates }) => hidden || fates.includes('other_amount'));
  if (isLacking && story.refunds.some(({ id, money }) => id !== refund.id && money === 'refunded')) {
    return 'each reading lacks one that landed, as a stale one would';
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

function mayFail(story: PaymentStory, { reason, resolved }: RefundStory): boolean {
  if (resolved === 'failed') return true;
  if (story.struck.some((name) => REFUSALS.includes(name))) return true;
  if (story.shown.some(({ status }) => status === 'rejected')) return true;
  // What was done, and is shown to nobody, leaves no room for the resend.
  if (reason === 'provider_declined' && story.shown.some(({ hidden }) => hidden)) return true;
  // Money that left without us, or in another amount, can leave too little for what was asked before.
  return story.ledger.externalMinor > 0 && reason !== 'refund_window_expired';
}

/** Only another amount than was asked for stops a provider, or an entry that stands in the place of one that is gone. */
export function compareTrips(trips: readonly Trip[], stories: readonly PaymentStory[]): Discrepancy[] {
  return trips.flatMap(({ provider, by, why }) => {
    const story = stories.find(({ refunds }) => refunds.some(({ id }) => why.includes(id)));
    const isReason = story?.shown.some(({ fates, hidden }) => fates.includes('other_amount') || hidden);
    return by === 'estorno' && isReason
      ? []
      : [{ kind: 'stopped_without_reason', subject: provider, detail: `${by}: ${why}` }];
  });
}

/** What was decided holds; a resend, in calm, succeeds, where people agree to it. */
export function compareDecisions(
  decisions: readonly Decision[],
  stories: readonly PaymentStory[],
): Discrepancy[] {
  return decisions.flatMap(({ refundId, outcome, refusal }) => {
    const story = stories.find(({ refunds }) => refunds.some(({ id }) => id === refundId));
    const refund = story?.refunds.find(({ id }) => id === refundId);
    const wanted = outcome === 'resend' ? sentAgain(refund) : outcome;
    if (story && refusal === '' && refund?.status === wanted) return [];
    const detail = `${outcome} ${refusal}; ${story ? `${describe(story.refunds)}; ${context(story)}` : 'gone'}`;
    return [{ kind: 'decision_lost', subject: refundId, detail }];
  });
}

function sentAgain(refund: RefundStory | undefined): 'succeeded' | 'rejected' {
  return refund?.approval?.state === 'rejected' ? 'rejected' : 'succeeded';
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
