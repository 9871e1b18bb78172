/** A provider in memory: what it does with the money, what it answers, and what it shows, which are three things. */
import type { ProviderRefund, SubmitOutcome } from '../src/domain/provider.js';
import type { AttemptRow, Reading } from './ledger/books.js';
import { QUIET_MS, SECOND_MS } from './timings.js';
import type { World } from './world.js';

export interface Flavour {
  /** The same key is the same refund. */
  readonly idempotent: boolean;
  readonly ids: 'shown' | 'shownOnceEnded' | 'none';
  readonly shows: 'list' | 'total' | 'totalThenList' | 'statusAlone';
  readonly partials: 'one' | 'many';
  readonly confirms: 'response' | 'read';
}

/** One movement of money, whatever was said of it. */
export interface Effect {
  readonly id: string;
  /** The attempt that caused it; null: somebody at the provider's panel. */
  readonly attempt: AttemptRow | null;
  readonly amountMinor: number;
  readonly listedAtMs: number;
  readonly endsAtMs: number;
  readonly until: 'processing' | 'unclear' | 'unknown';
  readonly end: 'succeeded' | 'rejected';
  /** Beyond what any reading can tell in time: listed after the quiet time. */
  readonly late: boolean;
}

/** An entry with the provider's own time, which is in another zone: no rule may use it. */
export type ShownRefund = ProviderRefund & { readonly shownAtMs: number };

/** What the quiet time is for: an effect is listed this long after the call at the latest, in a stale reading too. */
const LISTED_WITHIN = 0.45;
const STALE_BY = 1 / 3;
const ZONE_MS = 3 * 3_600_000;
const SAID = { code: 'said', message: '' };

export class Provider {
  readonly effects: Effect[] = [];

  constructor(
    private readonly world: World,
    private readonly flavour: Flavour,
    private readonly listsFromMs: number,
  ) {}

  /** Carries one call out, or not, and says something of it. */
  submit(attempt: AttemptRow): SubmitOutcome {
    const { world } = this;
    if (world.storms('provider unreachable', 0.08)) return this.notNow('provider_unavailable');
    if (world.storms('no balance', 0.04)) return this.notNow('insufficient_balance');
    if (world.storms('login refused', 0.02)) return this.notNow('authorization_required');
    if (world.storms('call lost before the effect', world.isUnreliable ? 0.4 : 0.12)) return this.unknown();
    const known = this.flavour.idempotent
      ? this.effects.find((effect) => effect.attempt === attempt)
      : undefined;
    if (!known && world.storms('declined', 0.06)) return declined(world.random.chance(0.3));
    if (!known && attempt.amountMinor > this.roomMinor()) return declined(true);
    const effect = known ?? this.take(attempt, attempt.amountMinor);
    if (world.storms('declined after the effect', 0.03)) return declined(true);
    if (world.storms('answer lost after the effect', world.isUnreliable ? 0.7 : 0.2)) return this.unknown();
    return this.answerTo(effect);
  }

  /** Somebody refunds at the provider's panel. */
  panel(amountMinor: number): void {
    if (amountMinor <= this.roomMinor()) this.take(null, amountMinor);
  }

  /** What a reading shows; null where none came. */
  read(readAtMs: number): Reading | null {
    const { world } = this;
    if (world.storms('reading failed', 0.15)) return null;
    const staleByMs = world.storms('stale reading', 0.2) ? world.random.upTo(STALE_BY * QUIET_MS) : 0;
    const reading = this.shownAt(world.nowMs - staleByMs, readAtMs);
    if (world.storms('strange status', 0.01)) return { ...reading, status: 'unknown' };
    if (!world.storms('cut reading', world.cutRate)) return reading;
    return { ...reading, refunds: reading.refunds.slice(1), shows: reading.shows.slice(1), complete: false };
  }

  /** An honest and whole reading of that instant. */
  shownAt(asOfMs: number, readAtMs: number): Reading {
    const { shows, partials } = this.flavour;
    const listed: Effect[] = [];
    const gone: Effect[] = [];
    let goneMinor = 0;
    for (const effect of this.effects) {
      if (effect.listedAtMs > asOfMs) continue;
      listed.push(effect);
      if (effect.end !== 'succeeded' || effect.endsAtMs > asOfMs) continue;
      gone.push(effect);
      goneMinor += effect.amountMinor;
    }
    const isAllGone =
      partials === 'one' ? gone.length > 0 : goneMinor >= this.world.books.payment.amountMinor;
    const lists = shows === 'list' || (shows === 'totalThenList' && asOfMs >= this.listsFromMs);
    const reading: Reading = {
      status: isAllGone ? 'refunded' : 'refundable',
      providerStatus: isAllGone ? 'refunded' : 'paid',
      providerPaymentReference: null,
      amountMinor: null,
      currency: null,
      method: null,
      paidAtMs: null,
      amountMayBeReduced: false,
      refunds: lists ? listed.map((effect) => this.entryOf(effect, asOfMs)) : [],
      complete: true,
      readAtMs,
      shows: lists ? listed : shows === 'statusAlone' ? [] : gone,
    };
    return lists || goneMinor === 0 || shows === 'statusAlone'
      ? reading
      : { ...reading, totalOnlyMinor: goneMinor };
  }

  private entryOf(effect: Effect, asOfMs: number): ShownRefund {
    const hasEnded = asOfMs >= effect.endsAtMs;
    const status = hasEnded ? effect.end : effect.until;
    const { ids } = this.flavour;
    return {
      providerRefundId: ids === 'shown' || (ids === 'shownOnceEnded' && hasEnded) ? effect.id : null,
      amountMinor: effect.amountMinor,
      status,
      providerStatus: status,
      shownAtMs: effect.listedAtMs - ZONE_MS,
    };
  }

  private take(attempt: AttemptRow | null, amountMinor: number): Effect {
    const { world, flavour } = this;
    const { random } = world;
    const late =
      attempt !== null && world.storms('effect after the quiet time', world.isUnreliable ? 0.5 : 0.01);
    const listedAtMs =
      world.nowMs +
      (late
        ? QUIET_MS * (1.5 + random.upTo(world.isUnreliable ? 15 : 4))
        : world.storms('listed late', 0.3)
          ? random.upTo(LISTED_WITHIN * QUIET_MS)
          : 0);
    const endsAtOnce = flavour.shows !== 'list' || flavour.confirms === 'response' || random.chance(0.4);
    const unlisted = world.storms('unclear status', 0.1);
    const effect: Effect = {
      id: `r${this.effects.length + 1}`,
      attempt,
      amountMinor,
      listedAtMs,
      endsAtMs: listedAtMs + (endsAtOnce ? 0 : random.upTo(world.longestProcessingMs)),
      until: unlisted ? (random.chance(0.7) ? 'unclear' : 'unknown') : 'processing',
      end: random.chance(0.88) ? 'succeeded' : 'rejected',
      late,
    };
    this.effects.push(effect);
    if (world.trace) world.note('effect', { ...effect, attempt: attempt?.number ?? 'panel' });
    world.sayWhatHappened(effect);
    return effect;
  }

  private answerTo(effect: Effect): SubmitOutcome {
    const { random, nowMs } = this.world;
    const tellsId = this.flavour.ids !== 'none' && random.chance(0.7);
    const said = { providerRefundId: tellsId ? effect.id : null, providerStatus: '' };
    const hasEnded = effect.endsAtMs <= nowMs;
    if (hasEnded && effect.end === 'rejected') return declined(false);
    return hasEnded && this.flavour.confirms === 'response'
      ? { kind: 'done', ...said }
      : { kind: 'accepted', ...said };
  }

  private roomMinor(): number {
    const taken = this.effects.filter((effect) => isLive(effect, this.world.nowMs));
    if (this.flavour.partials === 'one' && taken.length > 0) return 0;
    return taken.reduce((room, effect) => room - effect.amountMinor, this.world.books.payment.amountMinor);
  }

  private unknown(): SubmitOutcome {
    return { kind: 'unknown', error: SAID, retryAfterMs: this.retryAfterMs() };
  }

  private notNow(reason: Extract<SubmitOutcome, { kind: 'notNow' }>['reason']): SubmitOutcome {
    return { kind: 'notNow', reason, error: SAID, retryAfterMs: this.retryAfterMs() };
  }

  /** Absurd ones too. */
  retryAfterMs(): number | null {
    const { world } = this;
    if (!world.storms('retry-after', 0.15)) return null;
    return world.random.upTo(world.random.chance(0.1) ? 30 * 24 * 3_600 * SECOND_MS : 60 * SECOND_MS);
  }
}

/** It has moved money, or may yet. */
export function isLive(effect: Effect, nowMs: number): boolean {
  return effect.end === 'succeeded' || nowMs < effect.endsAtMs;
}

function declined(mayBeOurs: boolean): SubmitOutcome {
  return { kind: 'declined', error: SAID, mayBeOurs };
}
