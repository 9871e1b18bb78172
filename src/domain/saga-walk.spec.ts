import { describe, expect, it } from '@jest/globals';
import { absenceProven, quietFromMs, type AbsentRead } from './absence.js';
import { assertNever } from './errors.js';
import { findRefund } from './matching.js';
import type { PaymentSnapshot, ProviderRefund } from './provider.js';
import { begin, decide } from './saga.js';
import type { LookResult, Observation, SagaTerms, Step } from './saga-state.js';

/**
 * Random walks of the saga through a small world: a provider that may or may not do what it is asked, now or later,
 * answers that get lost, readings that are stale or cut, workers that die, and a ledger that keeps every attempt.
 * The storm ends at some instant; from then on the world is quiet and honest, and every refund must reach its end.
 */
const WALKS = 2_500;
const STEPS_MAX = 4_000;
const STEPS_BETWEEN_PAUSES_MAX = 60;
const AMOUNT_MINOR = 100;
const [SECOND_MS, HOUR_MS, DAY_MS] = [1_000, 3_600_000, 86_400_000];
const SEND_WITHIN_MS = 2 * SECOND_MS;
const PROVIDER_TIMEOUT_MS = 10 * SECOND_MS;
const QUIET_MS = 900 * SECOND_MS;
/** What the quiet time is for: an effect is listed this long after the call at the latest, even in a stale reading. */
const LISTED_WITHIN_MS = QUIET_MS / 2;
const STALE_BY_MS = QUIET_MS / 3;

describe('the saga in a hostile world', () => {
  it(`keeps its promises on ${WALKS} seeded walks`, () => {
    const ends = new Map<string, number>();
    for (let seed = 1; seed <= WALKS; seed += 1) {
      const end = walk(seed);
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
    for (const end of ['succeeded', 'failed', 'review']) expect(ends.get(end)).toBeGreaterThan(WALKS / 100);
  });
});

function walk(seed: number): string {
  const world = new World(seed);
  const trace: unknown[] = [];
  try {
    let { state, step } = decide(begin(world.nowMs), { kind: 'started' }, world.nowMs);
    let sincePause = 0;
    for (let steps = 0; step.kind !== 'end'; steps += 1) {
      hold(steps < STEPS_MAX, 'a refund reaches its end');
      sincePause = step.kind === 'pause' ? 0 : sincePause + 1;
      hold(sincePause < STEPS_BETWEEN_PAUSES_MAX, 'nothing is asked again and again without a pause');
      if (world.nothingMoreHappens() && state.stage === 'review') return world.checkReview();

      const seen = world.carryOut(step);
      trace.push([world.nowMs, state.stage, step, seen]);
      ({ state, step } = decide(state, seen, world.nowMs));
    }
    return world.checkEnd(step.status);
  } catch (error) {
    const last = trace.slice(-25).map((each) => JSON.stringify(each));
    throw new Error(`seed ${seed}: ${String(error)}\n${last.join('\n')}`, { cause: error });
  }
}

/** What the provider does with the money, whatever it says. */
interface Effect {
  readonly attempt: number;
  readonly listedAtMs: number;
  readonly endsAtMs: number;
  readonly until: 'processing' | 'unclear' | 'unknown';
  readonly end: 'succeeded' | 'rejected';
}

/** The ledger's row of one attempt. */
interface Attempt {
  readonly number: number;
  readonly claimedAtMs: number;
  readonly before: readonly ProviderRefund[];
  sendByMs: number;
  sends: number;
  answer: 'accepted' | 'declined' | null;
  providerRefundId: string | null;
  seen: boolean;
  absentReads: AbsentRead[];
  conclusion: 'landed' | 'declined' | 'absent' | 'not_sent' | null;
}

class World {
  nowMs = 0;
  private readonly effects: Effect[] = [];
  private readonly attempts: Attempt[] = [];
  private readonly random: () => number;
  private readonly terms: SagaTerms;
  private readonly calmFromMs: number;
  private readonly givesIds: boolean;
  /** A refund by the provider's panel, in the middle of it all; its amount is not ours. */
  private readonly panelAtMs: number;

  constructor(seed: number) {
    this.random = seeded(seed);
    const idempotentSubmit = this.chance(0.4);
    this.calmFromMs = this.upTo(3 * DAY_MS);
    this.givesIds = this.chance(0.5);
    this.panelAtMs = this.chance(0.1) ? this.upTo(HOUR_MS) : Infinity;
    this.terms = {
      provider: 'acme',
      paymentId: 'pay_1',
      amountMinor: AMOUNT_MINOR,
      currency: 'BRL',
      needsLane: !idempotentSubmit,
      idempotentSubmit,
      deadlineMs: null,
      submitBeforeMs: this.chance(0.5) ? null : this.upTo(2 * DAY_MS),
      quietMs: QUIET_MS,
      pollMs: 5 * SECOND_MS,
      pollMaxMs: HOUR_MS,
      retryMaxMs: 60 * SECOND_MS,
      insufficientBalanceWaitMs: DAY_MS,
      providerUnavailableWaitMs: 2 * DAY_MS,
      processingReviewAfterMs: 2 * DAY_MS,
      unknownReviewAfterMs: this.chance(0.5) ? 6 * HOUR_MS : 4 * DAY_MS,
    };
  }

  carryOut(step: Exclude<Step, { kind: 'end' }>): Observation {
    switch (step.kind) {
      case 'admit':
        return { kind: 'admitted', terms: this.terms };
      case 'takeLane':
        return { kind: this.storms(0.2) ? 'laneBusy' : 'laneTaken' };
      case 'submit':
        return this.submit(step.attempt);
      case 'look':
        return { kind: 'looked', result: this.look() };
      case 'watch':
        return this.watch(step.untilMs);
      case 'pause':
        return this.pause(step.ms);
      case 'review':
        return { kind: 'reviewed' };
      case 'resolve':
        throw new Error('nobody asked for a resolution');
      case 'settle':
        hold(this.landed() === 1, 'nothing is settled that has not landed, once');
        return this.storms(0.1) ? { kind: 'closingRefused' } : { kind: 'closed', status: 'succeeded' };
      case 'compensate':
        hold(!this.moneyMayMove(), 'nothing is given back while its money may have moved');
        hold(!this.isOpen(), 'nothing is given back while the ledger holds an open attempt');
        return this.storms(0.1) ? { kind: 'closingRefused' } : { kind: 'closed', status: 'failed' };
      default:
        return assertNever(step);
    }
  }

  checkEnd(status: string): string {
    const landed = this.effects.filter(({ end }) => end === 'succeeded').length;
    hold(landed <= 1, 'the money moves once');
    hold(status === (landed === 1 ? 'succeeded' : 'failed'), `the end says what happened, not ${status}`);
    return status;
  }

  /** In a quiet and honest world only what no reading can tell stays with a person. */
  checkReview(): string {
    const cannotBeTold = this.panelAtMs < Infinity || this.effects.length === 0;
    hold(cannotBeTold, 'a refund that can be told leaves review by itself');
    hold(this.effects.length <= 1, 'the money moves once');
    return 'review';
  }

  nothingMoreHappens(): boolean {
    const last = Math.max(this.calmFromMs, ...this.effects.map(({ endsAtMs }) => endsAtMs));
    return this.nowMs > last + DAY_MS;
  }

  private submit(number: number): Observation {
    const existing = this.attempts.find((attempt) => attempt.number === number);
    if (existing) return this.repeat(existing);
    hold(!this.isOpen(), 'nothing is sent while an earlier attempt is unresolved');
    hold(this.effects.length === 0, 'nothing is sent again that has had an effect');
    hold(!this.windowClosed(), 'nothing is sent after the window');
    if (this.storms(0.1)) return { kind: 'callLost' };
    if (this.storms(0.3)) return this.notNow(this.attempts.at(-1)?.number ?? 0);
    const before = this.shownAt(this.nowMs);
    const sent = { claimedAtMs: this.nowMs, sendByMs: this.nowMs + SEND_WITHIN_MS, sends: 1 };
    const known = { answer: null, providerRefundId: null, seen: false, absentReads: [], conclusion: null };
    const attempt: Attempt = { number, before, ...sent, ...known };
    this.attempts.push(attempt);
    return this.call(attempt);
  }

  private repeat(attempt: Attempt): Observation {
    hold(this.terms.idempotentSubmit, 'only a key makes a repeat harmless');
    hold(attempt.answer === null, 'nothing is sent again that was accepted or declined');
    hold(!this.windowClosed(), 'nothing is repeated after the window');
    hold(this.nowMs < attempt.claimedAtMs + DAY_MS, 'no key is trusted for more than a day');
    attempt.sends += 1;
    attempt.sendByMs = this.nowMs + SEND_WITHIN_MS;
    return this.call(attempt);
  }

  private call(attempt: Attempt): Observation {
    const { number } = attempt;
    this.nowMs += this.upTo(SEND_WITHIN_MS);
    if (this.storms(0.1)) {
      // The provider could not be reached; a sending before this one may have got there.
      if (attempt.sends > 1) return this.unknown(attempt);
      attempt.conclusion = 'not_sent';
      return this.notNow(number);
    }
    const declines = this.storms(0.15);
    const forgets = this.storms(0.3);
    if (!declines && !forgets && !this.effects.some((effect) => effect.attempt === number)) {
      this.takeEffect(number);
    }
    if (this.storms(0.15)) return { kind: 'callLost' };
    if (this.storms(0.5) || (forgets && !declines)) return this.unknown(attempt);
    if (declines) {
      const resolveFirst =
        attempt.sends > 1 || this.attempts.some(({ conclusion }) => conclusion === 'absent');
      attempt.answer = 'declined';
      if (!resolveFirst) attempt.conclusion = 'declined';
      return { kind: 'submitted', result: { kind: 'declined', attempt: number, resolveFirst } };
    }
    if (this.landed() === 1 && this.chance(0.5)) {
      attempt.conclusion = 'landed';
      return { kind: 'submitted', result: { kind: 'done', attempt: number } };
    }
    attempt.answer = 'accepted';
    attempt.providerRefundId = this.givesIds && this.chance(0.5) ? `r${number}` : null;
    return { kind: 'submitted', result: { kind: 'accepted', attempt: number } };
  }

  private takeEffect(attempt: number): void {
    const listedAtMs = this.nowMs + (this.storms(0.5) ? this.upTo(LISTED_WITHIN_MS) : 0);
    this.effects.push({
      attempt,
      listedAtMs,
      endsAtMs: listedAtMs + (this.chance(0.5) ? this.upTo(3 * DAY_MS) : 0),
      until: this.storms(0.2) ? (this.chance(0.5) ? 'unclear' : 'unknown') : 'processing',
      end: this.chance(0.85) ? 'succeeded' : 'rejected',
    });
  }

  private unknown(attempt: Attempt): Observation {
    const resendAfterMs = this.storms(0.2) ? this.nowMs + this.upTo(2 * HOUR_MS) : null;
    const firstSentAtMs = attempt.claimedAtMs;
    return {
      kind: 'submitted',
      result: { kind: 'unknown', attempt: attempt.number, firstSentAtMs, resendAfterMs },
    };
  }

  private notNow(attempt: number): Observation {
    const reasons = ['insufficient_balance', 'provider_unavailable', 'authorization_required'] as const;
    const reason = reasons[Math.floor(this.upTo(reasons.length))] ?? 'provider_unavailable';
    return {
      kind: 'submitted',
      result: { kind: 'notNow', attempt, reason, retryAfterMs: this.retryAfterMs() },
    };
  }

  /** Absurd ones too. */
  private retryAfterMs(): number | null {
    return this.storms(0.2) ? this.upTo(30 * DAY_MS) : null;
  }

  /** One reading, matched and kept as the ledger does it. */
  private look(): LookResult {
    const attempt = this.attempts.find(({ conclusion }) => conclusion === null) ?? this.attempts.at(-1);
    if (!attempt || attempt.conclusion === 'not_sent') {
      return { kind: 'notSent', attempt: attempt?.number ?? 0 };
    }
    if (attempt.conclusion === 'landed') return { kind: 'landed' };
    if (attempt.conclusion === 'declined') return { kind: 'rejected' };
    this.nowMs += this.upTo(SECOND_MS);
    if (this.storms(0.2)) return { kind: 'unavailable', retryAfterMs: this.retryAfterMs() };
    const staleByMs = this.storms(0.3) ? this.upTo(STALE_BY_MS) : 0;
    const asked = {
      amountMinor: AMOUNT_MINOR,
      accepted: attempt.answer === 'accepted',
      onlyOneRefund: false,
    };
    const match = findRefund(
      { ...asked, before: snapshot(attempt.before), providerRefundId: attempt.providerRefundId },
      { ...snapshot(this.shownAt(this.nowMs - staleByMs)), complete: !this.storms(0.1) },
      { claimedIds: new Set(), landedSinceMinor: [], landedAroundMinor: [], anotherIsOpen: false },
    );
    if (match.kind === 'found') return this.found(attempt, match.refund);
    if (match.kind === 'absent') return this.absent(attempt);
    if (match.kind === 'incomplete') return { kind: 'unavailable', retryAfterMs: null };
    return { kind: match.kind, why: '' };
  }

  private found(attempt: Attempt, refund: ProviderRefund): LookResult {
    attempt.seen = true;
    attempt.providerRefundId ??= refund.providerRefundId;
    const { status: providerStatus } = refund;
    if (providerStatus === 'processing') return { kind: 'processing' };
    if (providerStatus === 'unclear') return { kind: 'unclear', providerStatus };
    if (providerStatus === 'unknown') return { kind: 'unknownStatus', providerStatus };
    attempt.conclusion = providerStatus === 'succeeded' ? 'landed' : 'declined';
    return { kind: providerStatus === 'succeeded' ? 'landed' : 'rejected' };
  }

  private absent(attempt: Attempt): LookResult {
    const bounds = { sendByMs: attempt.sendByMs, providerTimeoutMs: PROVIDER_TIMEOUT_MS, quietMs: QUIET_MS };
    const quietUntilMs = quietFromMs(bounds) + QUIET_MS;
    const accepted = attempt.answer === 'accepted';
    // What was seen once does not become unseen: a reading without it is stale.
    if (accepted || attempt.seen) return { kind: 'absent', proven: false, accepted, quietUntilMs };
    attempt.absentReads.push({ readAtMs: this.nowMs });
    const proven = absenceProven(attempt.absentReads, bounds);
    if (proven) attempt.conclusion = attempt.answer === 'declined' ? 'declined' : 'absent';
    return { kind: 'absent', proven, accepted, quietUntilMs };
  }

  private watch(untilMs: number): Observation {
    for (;;) {
      const result = this.look();
      const undecided = ['processing', 'unclear', 'absent', 'unavailable'].includes(result.kind);
      if (!undecided || this.nowMs >= untilMs) return { kind: 'looked', result };
      this.nowMs += this.terms.pollMaxMs;
      if (this.chance(0.05)) return { kind: 'paused' };
    }
  }

  private pause(ms: number): Observation {
    hold(ms > 0 && ms <= this.terms.pollMaxMs, `a pause has a length and a bound, not ${ms}`);
    this.nowMs += this.storms(0.2) ? this.upTo(ms) : ms;
    return { kind: 'paused' };
  }

  private shownAt(ms: number): ProviderRefund[] {
    const shown = (id: string, amountMinor: number, status: ProviderRefund['status']): ProviderRefund => ({
      providerRefundId: this.givesIds ? id : null,
      amountMinor,
      status,
      providerStatus: '',
    });
    const listed = this.effects.filter(({ listedAtMs }) => listedAtMs <= ms);
    const ours = listed.map((effect) =>
      shown(`r${effect.attempt}`, AMOUNT_MINOR, ms < effect.endsAtMs ? effect.until : effect.end),
    );
    return ms >= this.panelAtMs ? [shown('panel', 7, 'succeeded'), ...ours] : ours;
  }

  private landed(): number {
    return this.effects.filter(({ end, endsAtMs }) => end === 'succeeded' && endsAtMs <= this.nowMs).length;
  }

  private isOpen(): boolean {
    return this.attempts.some(({ conclusion }) => conclusion === null || conclusion === 'landed');
  }

  private moneyMayMove(): boolean {
    return this.effects.some(({ end, endsAtMs }) => end === 'succeeded' || endsAtMs > this.nowMs);
  }

  private windowClosed(): boolean {
    return this.terms.submitBeforeMs !== null && this.nowMs >= this.terms.submitBeforeMs;
  }

  private storms(probability: number): boolean {
    return this.nowMs < this.calmFromMs && this.chance(probability);
  }

  private chance(probability: number): boolean {
    return this.upTo(1) < probability;
  }

  private upTo(bound: number): number {
    return this.random() * bound;
  }
}

function snapshot(refunds: readonly ProviderRefund[]): PaymentSnapshot {
  const facts = {
    providerPaymentReference: null,
    amountMinor: null,
    currency: null,
    method: null,
    paidAtMs: null,
  };
  return {
    ...facts,
    status: 'refundable',
    providerStatus: '',
    amountMayBeReduced: false,
    refunds,
    complete: true,
  };
}

function hold(promise: boolean, guarantee: string): asserts promise {
  if (!promise) throw new Error(`broken: ${guarantee}`);
}

/** mulberry32: small, seeded, the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
