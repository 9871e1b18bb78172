/** All that one schedule is made of, drawn from its seed: conditions, clock, storm, ledger, provider, and who acts. */
import type { SagaTerms } from '../src/domain/saga-state.js';
import type { Books, RefundRow } from './ledger/books.js';
import { Provider, type Effect, type Flavour } from './provider.js';
import { Random } from './random.js';
import type { Rules } from './rules.js';
import { QUIET_MS, SECOND_MS } from './timings.js';

const MINUTE_MS = 60 * SECOND_MS;
const PAYMENT_MINOR = 1_000;
/** Two workers' clocks, or one's before and after a jump, are at most twice this apart. */
const SKEW_MS = 2 * SECOND_MS;

/** Something that runs and may be interrupted wherever it yields: the milliseconds until it goes on. */
export type Thread<Result = void> = Generator<number, Result, void>;

export interface Actor {
  readonly name: string;
  thread: Thread;
  readyAtMs: number;
}

/** What a refund asks for before there is one. */
export type Asked = Pick<RefundRow, 'id' | 'amountMinor' | 'submitBeforeMs'>;

export class World {
  nowMs = 0;
  readonly random: Random;
  readonly faults: Record<string, number> = {};
  readonly books: Books;
  readonly provider: Provider;
  readonly flavour: Flavour;
  readonly asked: readonly Asked[];
  readonly longestProcessingMs: number;
  /** Some providers' pages are cut more often than not. */
  readonly cutRate: number;
  readonly actors: Actor[] = [];
  /** How often the bytes of each attempt left. */
  readonly sends = new Map<string, number>();
  /** Refunds that took an entry of others for theirs where no reading could tell better: a named residual. */
  readonly mistaken = new Set<string>();
  hintAll: () => void = () => undefined;
  wakeLane: (refundId: string) => void = () => undefined;
  restsInReview: (refundId: string | null) => boolean = () => false;
  private readonly calmFromMs: number;
  private readonly times: number;
  private lastPanelMs = 0;
  private readonly unknownReviewAfterMs: number;

  constructor(
    seed: number,
    readonly rules: Rules,
    readonly trace: string[] | null,
  ) {
    const random = new Random(seed);
    this.random = random;
    // Now and then a storm of days, which outlasts the trust in a key.
    this.times = random.chance(0.01) ? 60 : 1;
    this.calmFromMs = random.upTo(30 * MINUTE_MS) * this.times;
    this.longestProcessingMs = 20 * MINUTE_MS * this.times;
    this.unknownReviewAfterMs = random.pick([4, 10, 30]) * MINUTE_MS * Math.min(this.times, 10);
    this.cutRate = random.pick([0.05, 0.05, 0.05, 0.7]);
    this.flavour = drawFlavour(random);
    const { idempotent, partials, confirms } = this.flavour;
    this.books = {
      rules,
      capabilities: {
        idempotentSubmit: idempotent,
        partials,
        confirmation: confirms,
        defaultMethod: 'pix',
        methods: ['pix'],
        currencies: null,
        readsUnregistered: true,
      },
      payment: {
        amountMinor: PAYMENT_MINOR,
        refundedMinor: 0,
        reservedMinor: 0,
        externalMinor: 0,
        settledAtMs: 0,
        externalReadAtMs: 0,
      },
      refunds: [],
      attempts: [],
      waiters: new Map(),
      laneHolder: null,
      booked: new Set(),
    };
    this.provider = new Provider(this, this.flavour, random.upTo(20 * MINUTE_MS));
    const submitBeforeMs = random.chance(0.6) ? null : random.upTo(40 * MINUTE_MS) * this.times;
    const equalMinor = random.pick([100, 250, 400]);
    this.asked = Array.from({ length: 2 + random.whole(3) }, (_, at) => ({
      id: `rfd_${at + 1}`,
      amountMinor: random.chance(0.7) ? equalMinor : random.pick([100, 150, 250, 600]),
      submitBeforeMs,
    }));
    const panels = random.chance(0.35) ? 1 + random.whole(2) : 0;
    for (let panel = 0; panel < panels; panel += 1) {
      const inMs = random.upTo(random.pick([0.3, 3, 20]) * MINUTE_MS);
      this.lastPanelMs = Math.max(this.lastPanelMs, inMs);
      this.act('panel', this.panel(random.chance(0.7) ? equalMinor : 70), inMs);
    }
  }

  termsFor({ amountMinor, submitBeforeMs }: Asked): SagaTerms {
    const { idempotentSubmit } = this.books.capabilities;
    return {
      provider: 'acme',
      paymentId: 'pay_1',
      amountMinor,
      currency: 'BRL',
      needsLane: !idempotentSubmit,
      idempotentSubmit,
      deadlineMs: submitBeforeMs,
      submitBeforeMs,
      quietMs: QUIET_MS,
      pollMs: 3 * SECOND_MS,
      pollMaxMs: 3 * MINUTE_MS * Math.min(this.times, 10),
      retryMaxMs: MINUTE_MS * this.times,
      insufficientBalanceWaitMs: 12 * MINUTE_MS * this.times,
      providerUnavailableWaitMs: 15 * MINUTE_MS * this.times,
      processingReviewAfterMs: 14 * MINUTE_MS * this.times,
      unknownReviewAfterMs: this.unknownReviewAfterMs,
    };
  }

  /** Whether that fault strikes here; none does once the storm is over. */
  storms(fault: string, probability: number): boolean {
    if (this.nowMs >= this.calmFromMs || !this.random.chance(probability)) return false;
    this.count(fault);
    if (this.trace) this.note('fault', fault);
    return true;
  }

  count(fault: string): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1;
  }

  /** The clock of one worker: it differs from the others', and jumps. */
  workerClock(): () => number {
    let skewMs = this.random.upTo(2 * SKEW_MS) - SKEW_MS;
    return () => {
      if (this.storms('clock jump', 0.02)) skewMs = this.random.upTo(2 * SKEW_MS) - SKEW_MS;
      return this.nowMs + skewMs;
    };
  }

  /** Runs beside all others, whoever asked for it. */
  act(name: string, thread: Thread, inMs: number): void {
    this.actors.push({ name, thread, readyAtMs: this.nowMs + inMs });
  }

  /** Webhooks: many, late, out of order, or none at all. */
  sayWhatHappened(effect: Effect): void {
    const copies = this.random.pick([0, 1, 1, 2, 10]);
    const inMs = Math.max(0, (this.random.chance(0.5) ? effect.listedAtMs : effect.endsAtMs) - this.nowMs);
    if (copies > 0) this.act('webhook', this.hints(copies), inMs);
  }

  /** The storm is over and the provider has shown all that it will. */
  isOver(): boolean {
    return this.nowMs > this.lastChangeMs() + 3 * QUIET_MS;
  }

  lastChangeMs(): number {
    return this.provider.effects.reduce(
      (lastMs, { endsAtMs }) => Math.max(lastMs, endsAtMs),
      Math.max(this.calmFromMs, this.lastPanelMs),
    );
  }

  note(who: string, what: unknown): void {
    if (!this.trace) return;
    this.trace.push(
      `${Math.round(this.nowMs)} ${who} ${typeof what === 'string' ? what : JSON.stringify(what)}`,
    );
  }

  private *panel(amountMinor: number): Thread {
    this.note('panel', `refunds ${amountMinor}`);
    this.count('panel refund');
    this.provider.panel(amountMinor);
    yield 0;
  }

  private *hints(copies: number): Thread {
    for (let copy = 0; copy < copies; copy += 1) {
      if (copy > 0) this.storms('duplicate hint', 1);
      yield this.random.upTo(copies > 2 ? 20 * SECOND_MS : QUIET_MS);
      this.hintAll();
    }
  }
}

function drawFlavour(random: Random): Flavour {
  const idempotent = random.chance(0.3);
  const partials = random.chance(0.15) ? 'one' : 'many';
  return {
    idempotent,
    ids: random.pick(['shown', 'shown', idempotent ? 'shown' : 'shownOnceEnded', 'none', 'none']),
    shows:
      partials === 'one'
        ? random.pick(['list', 'total', 'statusAlone'])
        : random.pick(['list', 'list', 'list', 'total', 'totalThenList']),
    partials,
    confirms: random.pick(['response', 'read', 'read']),
  };
}
