/** What must hold, whatever happens: asked after every step, at every claim, call and adoption, and at the end. */
import { sumMinor } from '../src/domain/money.js';
import { isOpen, type RefundStatus } from '../src/domain/refund.js';
import { explainReading } from '../src/domain/matching.js';
import { REPEAT_FOR_MS } from '../src/domain/saga-bounds.js';
import type { ApprovalStanding, SagaState } from '../src/domain/saga-state.js';
import { mayHaveMovedMoney } from './ledger/attempts.js';
import {
  attemptsOf,
  keyOf,
  refundOf,
  type AttemptRow,
  type Reading,
  type RefundRow,
} from './ledger/books.js';
import { bookExternal, standingOf } from './ledger/standing.js';
import { isLive } from './provider.js';
import { PROVIDER_TIMEOUT_MS, QUIET_MS, SEND_WITHIN_MS, SKEW_MS } from './timings.js';
import type { World } from './world.js';

/** A process that is lost is back within a minute, and may be lost again. */
const SOON_MS = 300_000;
const ENDED_UNSENT: ReadonlySet<RefundStatus> = new Set(['rejected', 'expired', 'canceled']);

/** A promise that was broken; the message is the promise. */
export class Broken extends Error {}

export function hold(promise: boolean, guarantee: string): asserts promise {
  if (!promise) throw new Broken(guarantee);
}

export function checkEveryStep(world: World): void {
  checkSums(world);
  checkMoney(world);
  checkAdopted(world);
  checkRefunds(world);
  checkApprovals(world);
}

/** The payment's figures are the sums of its refunds, and never more than it has. */
function checkSums({ books: { payment, refunds } }: World): void {
  let reservedMinor = 0;
  let refundedMinor = 0;
  for (const { money, amountMinor } of refunds) {
    if (money === 'reserved') reservedMinor += amountMinor;
    if (money === 'refunded') refundedMinor += amountMinor;
  }
  hold(
    payment.reservedMinor === reservedMinor && payment.refundedMinor === refundedMinor,
    'reserved and refunded are the sums of the refunds, each counted once',
  );
  hold(
    reservedMinor + refundedMinor <= payment.amountMinor,
    'refunded and reserved never exceed the payment',
  );
}

/** Money that moved by an attempt is landed or open in the books, but for what shows up after the quiet time. */
function checkMoney(world: World): void {
  const { nowMs, books, provider } = world;
  // A rejected entry may hide that another is missing from a stale reading.
  let countedMinor = books.payment.externalMinor;
  let bookedMinor = 0;
  for (const { conclusion, amountMinor } of books.attempts) {
    if (conclusion === null || conclusion === 'landed') countedMinor += amountMinor;
  }
  for (const effect of provider.effects) {
    const { attempt, amountMinor } = effect;
    if (!isLive(effect, nowMs)) {
      if (effect.listedAtMs <= nowMs) countedMinor += amountMinor;
      continue;
    }
    if (books.booked.has(effect)) bookedMinor += amountMinor;
    if (!attempt || effect.late || world.mistaken.has(attempt.refundId)) continue;
    hold(
      attempt.conclusion === null || attempt.conclusion === 'landed',
      'money that moves at the provider is landed or open in the books',
    );
    for (const other of provider.effects) {
      if (other === effect || other.late || other.attempt?.refundId !== attempt.refundId) continue;
      hold(!isLive(other, nowMs), 'the money of one refund moves once');
    }
  }
  hold(bookedMinor <= countedMinor, 'what was seen to have left stays counted for as long as it is true');
}

/** No entry stands for two refunds. */
function checkAdopted({ books, provider, nowMs, flavour }: World): void {
  const landed = books.attempts.filter(({ conclusion }) => conclusion === 'landed');
  if (landed.length === 0) return;
  const isTwice = landed.some(
    ({ providerRefundId: id }, at) =>
      id !== null && landed.findIndex(({ providerRefundId }) => providerRefundId === id) < at,
  );
  hold(!isTwice, 'no entry is adopted by two refunds');
  if (flavour.shows === 'statusAlone') return;
  const gone = provider.effects.filter(({ end, endsAtMs }) => end === 'succeeded' && endsAtMs <= nowMs);
  hold(sumMinor(landed) <= sumMinor(gone), 'no entry is adopted by two refunds');
  if (flavour.shows !== 'list') return;
  for (const { amountMinor } of landed) {
    hold(countOf(landed, amountMinor) <= countOf(gone, amountMinor), 'no entry is adopted by two refunds');
  }
}

function countOf(entries: readonly { readonly amountMinor: number }[], amountMinor: number): number {
  let count = 0;
  for (const entry of entries) if (entry.amountMinor === amountMinor) count += 1;
  return count;
}

function checkRefunds({ books }: World): void {
  for (const refund of books.refunds) {
    if (refund.status === 'pending') continue;
    let landed = 0;
    let open = 0;
    for (const { refundId, conclusion } of books.attempts) {
      if (refundId !== refund.id) continue;
      if (conclusion === 'landed') landed += 1;
      if (conclusion === null) open += 1;
    }
    if (refund.status === 'succeeded') {
      hold(landed === 1 && open === 0, 'succeeded means landed, once, and nothing open beside it');
    }
    if (refund.status === 'failed') {
      hold(landed + open === 0, 'nothing is given back while an attempt is open or has landed');
      hold(refund.failureReason !== null, 'a failed refund says why');
    }
    if (refund.status === 'review') hold(refund.reviewReason !== null, 'a refund in review says why');
  }
}

function checkApprovals({ books, nowMs, undecidedMs }: World): void {
  const { approvalPolicy } = books;
  if (!approvalPolicy) return;
  for (const refund of books.refunds) {
    const { status, money, approval, submitBeforeMs, told } = refund;
    if (ENDED_UNSENT.has(status)) {
      hold(
        !attemptsOf(books, refund.id).some(mayHaveMovedMoney),
        'what people or time ended has no attempt that could move money',
      );
      hold(money === 'released', 'what people or time ended gives its reservation back');
    }
    if (status !== 'requires_approval' || !approval) continue;
    hold(approval.expiresAtMs <= (submitBeforeMs ?? Infinity), 'no approval outlasts the window');
    // What was sent before shows up at the provider: until that is decided nothing else is.
    if (attemptsOf(books, refund.id).some(mayHaveMovedMoney)) undecidedMs.set(refund.id, nowMs);
    const endsMs = Math.max(approval.expiresAtMs, undecidedMs.get(refund.id) ?? 0);
    hold(nowMs < endsMs + SOON_MS, OPEN_PAST_ITS_END);
    if (undecidedMs.has(refund.id)) continue;
    const waitedMs = nowMs - approval.requestedAtMs - SOON_MS;
    const isTold = (kind: 'reminder' | 'escalation'): boolean =>
      told.some((reminder) => reminder.kind === kind && reminder.round === approval.round);
    hold(waitedMs < approvalPolicy.remindEveryMs || isTold('reminder'), WAITS_IN_SILENCE);
    hold(waitedMs < approvalPolicy.escalateAfterMs || isTold('escalation'), WAITS_IN_SILENCE);
  }
}

const BY_ITSELF: ReadonlySet<string | undefined> = new Set(['failed', 'review', 'succeeded']);
const OPEN_PAST_ITS_END = 'an approval that is open past its end is ended';
const WAITS_IN_SILENCE = 'nobody waits for votes in silence';

/** The last vote was just stored. */
export function checkVote({ nowMs }: World, { requestedBy, approval }: RefundRow): void {
  const [vote, ...others] = approval?.votes.toReversed() ?? [];
  if (!vote || !approval) return;
  hold(
    vote.actor !== requestedBy && vote.actor !== approval.openedBy,
    'a vote of the requester never counts',
  );
  hold(nowMs < approval.expiresAtMs + 2 * SKEW_MS, 'no vote counts after the end');
  const again = others.some(({ actor, round }) => actor === vote.actor && round === vote.round);
  hold(!again, 'nobody votes twice in one round');
}

/** Of different people, other than who asked, about this round, and none against. */
function hasItsVotes({ requestedBy, approval }: RefundRow): boolean {
  if (!approval) return true;
  const { required, round, contentHash, openedBy, votes } = approval;
  const counted = votes.filter((vote) => vote.round === round && vote.contentHash === contentHash);
  const inFavour = counted.filter(({ decision }) => decision === 'approve').map(({ actor }) => actor);
  const others = new Set(inFavour.filter((actor) => actor !== requestedBy && actor !== openedBy));
  return others.size >= required && inFavour.length === counted.length;
}

export function checkExpiry({ nowMs }: World, { status, approval }: RefundRow, before: RefundStatus): void {
  if (status !== 'expired' || before === 'expired') return;
  hold(nowMs >= (approval?.expiresAtMs ?? Infinity) - 2 * SKEW_MS, 'nothing expires before its end');
}

/** A process lies down to sleep: it knows by now what it was told. */
export function checkSleep({ stage, approval }: SagaState, heard: ApprovalStanding | null): void {
  if (stage !== 'approving' || !heard) return;
  hold(heard.version <= (approval?.wait.version ?? 0), 'nobody goes on waiting for votes that are in');
}

/** A claim: with its votes, in its lane, within the window. */
export function checkClaim(world: World, attempt: AttemptRow, othersOpen: number, decisionMs: number): void {
  const refund = refundOf(world.books, attempt.refundId);
  const { submitBeforeMs } = refund;
  hold(hasItsVotes(refund), 'nothing is claimed for a refund without its votes');
  if (!world.flavour.idempotent) hold(othersOpen === 0, 'one open attempt a payment where there is no key');
  hold(submitBeforeMs === null || decisionMs < submitBeforeMs, 'nothing is sent after the window');
}

/** The bytes leave now. */
export function checkSend(world: World, attempt: AttemptRow): void {
  const { nowMs, provider, flavour, books, sends } = world;
  const refund = refundOf(books, attempt.refundId);
  const times = (sends.get(keyOf(attempt)) ?? 0) + 1;
  sends.set(keyOf(attempt), times);
  hold(!ENDED_UNSENT.has(refund.status), 'what was canceled is never sent');
  hold(flavour.idempotent || times === 1, 'only a key makes a repeat harmless');
  hold(
    nowMs < attempt.claimedAtMs + REPEAT_FOR_MS + 2 * SEND_WITHIN_MS + 4_000,
    'no key is trusted for more than a day',
  );
  hold(
    refund.submitBeforeMs === null || nowMs < refund.submitBeforeMs + 2 * SEND_WITHIN_MS + 4_000,
    'nothing is sent after the window',
  );
  const moved = provider.effects.some(
    (effect) =>
      effect.attempt?.refundId === refund.id &&
      effect.attempt !== attempt &&
      !effect.late &&
      isLive(effect, nowMs),
  );
  hold(!moved, 'nothing is sent again that has had an effect');
}

/** Where an entry was taken for ours by its amount, there was one to take, and it was not there before. */
export function checkLook(
  world: World,
  attempt: AttemptRow,
  before: AttemptRow['conclusion'],
  reading: Reading,
): void {
  const { conclusion, matchedBy, providerRefundId } = attempt;
  const entry = world.provider.effects.find(({ id }) => id === providerRefundId);
  if (entry && entry.attempt !== attempt) world.mistaken.add(attempt.refundId);
  if (conclusion === before || matchedBy === null) return;
  if (conclusion === 'landed' || conclusion === 'declined') checkAdoption(world, attempt, reading);
}

function checkAdoption(world: World, attempt: AttemptRow, reading: Reading): void {
  const endsAs = attempt.conclusion === 'landed' ? 'succeeded' : 'rejected';
  const isOurs = world.provider.effects.some((effect) => effect.attempt === attempt && effect.end === endsAs);
  // What landed without an id that is known can change places with an entry of its amount: nobody knows whose is whose.
  const isNamed = world.books.attempts.every(
    (other) =>
      other === attempt ||
      other.conclusion !== 'landed' ||
      other.amountMinor !== attempt.amountMinor ||
      (world.flavour.ids === 'shown' && other.providerRefundId !== null),
  );
  if (
    isNamed &&
    world.mistaken.size === 0 &&
    world.flavour.shows === 'list' &&
    attempt.matchedBy === 'amount'
  ) {
    const before = new Set(attempt.snapshot.shows);
    const candidates = reading.shows.filter(
      (effect) =>
        effect.amountMinor === attempt.amountMinor &&
        !before.has(effect) &&
        (effect.attempt === attempt ||
          (effect.attempt?.conclusion !== 'landed' && effect.attempt?.providerRefundId !== effect.id)),
    );
    hold(candidates.length <= 1, 'nothing is adopted by its amount where two entries could be ours');
    hold(
      candidates.length === 1 || isOurs,
      'a refund made by others is never taken for ours where the reading tells',
    );
  }
  const quietUntilMs = attempt.sendByMs + PROVIDER_TIMEOUT_MS + QUIET_MS;
  if (isOurs || (attempt.conclusion === 'declined' && reading.readAtMs < quietUntilMs)) return;
  world.mistaken.add(attempt.refundId);
  world.count('residual: the only new entry of the amount was of others');
}

/** The storm is over, nobody moves any more: what each refund ended as is what happened. */
export function checkEnd(world: World): void {
  const { books, provider } = world;
  world.nowMs = Math.max(world.nowMs, world.lastChangeMs()) + 1;
  const reading = provider.shownAt(world.nowMs, world.nowMs);
  const standing = standingOf(books);
  bookExternal(books, standing, reading);
  checkEveryStep(world);
  const tells = world.flavour.shows !== 'statusAlone' && world.mistaken.size === 0;
  if (standing.open.length === 0 && tells) {
    hold(explainReading(reading, standing.landed).missing.length === 0, 'what has landed is shown');
    const goneMinor = sumMinor(provider.effects.filter(({ end }) => end === 'succeeded'));
    hold(
      sumMinor(standing.landed) + books.payment.externalMinor >= goneMinor,
      'the books hold all that left the payment',
    );
  }
  for (const refund of books.refunds) {
    const moved = provider.effects.filter(
      (effect) => effect.attempt?.refundId === refund.id && effect.end === 'succeeded',
    );
    if (refund.status === 'succeeded' && !world.mistaken.has(refund.id)) {
      hold(moved.length > 0, 'succeeded only with the money gone');
    }
    const isUnsent = refund.status === 'failed' || ENDED_UNSENT.has(refund.status);
    if (isUnsent && !world.mistaken.has(refund.id)) {
      hold(
        moved.every(({ late }) => late),
        'failed only with the money kept',
      );
    }
    hold(refund.status !== 'requires_approval', OPEN_PAST_ITS_END);
    const [firstRound] = refund.approval?.ends ?? [];
    hold(!BY_ITSELF.has(firstRound), 'what was never sent waits for people or time');
    const canBeTold =
      !world.flavour.idempotent &&
      standing.open.length <= 1 &&
      world.flavour.shows === 'list' &&
      world.flavour.ids === 'shown' &&
      provider.effects.every(({ attempt, late, end }) => attempt !== null && !late && end === 'succeeded') &&
      provider.effects.length === 1 &&
      moved.length === 1 &&
      // Refused, and there all the same: the two words contradict each other, and a person must say which counts.
      moved[0]?.attempt?.answer?.kind !== 'declined';
    hold(refund.status !== 'review' || !canBeTold, 'a refund that can be told leaves review by itself');
    hold(
      !isOpen(refund.status) || refund.status === 'review' || books.laneHolder !== null,
      'every refund reaches its end',
    );
  }
}
