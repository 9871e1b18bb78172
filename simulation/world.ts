/** All that one schedule is made of, drawn from its seed: conditions, clock, storm, ledger, provider, and who acts. */
import type { Policy } from '../src/domain/policy.js';
import type { SagaTerms } from '../src/domain/saga-state.js';
import type { AskedRefund } from './ledger/admission.js';
import type { Books } from './ledger/books.js';
import { REQUESTER } from './people.js';
import { Provider, type Effect, type Flavour } from './provider.js';
import { Random } from './random.js';
import type { Rules } from './rules.js';
import { QUIET_MS, SECOND_MS, SKEW_MS } from './timings.js';

const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;
const PAYMENT_MINOR = 1_000;

/** Something that runs and may be interrupted wherever it yields: the milliseconds until it goes on. */
export type Thread<Result = void> = Generator<number, Result, void>;

export interface Actor {
  readonly name: string;
  thread: Thread;
  readyAtMs: number;
}

export class World {
  nowMs = 0;
  readonly random: Random;
  readonly faults: Record<string, number> = {};
  readonly books: Books;
  readonly provider: Provider;
  readonly flavour: Flavour;
  readonly asked: readonly AskedRefund[];
  readonly longestProcessingMs: number;
  /** Some providers' pages are cut more often than not. */
  readonly cutRate: number;
  /** Some lose calls and answers, or carry them out late, so often that people are asked whether to send again. */
  readonly isUnreliable: boolean;
  readonly actors: Actor[] = [];
  /** How often the bytes of each attempt left. */
  readonly sends = new Map<string, number>();
  /** Refunds that took an entry of others for theirs where no reading could tell better: a named residual. */
  readonly mistaken = new Set<string>();
  /** When a refund that waits for votes was last seen to be open at the provider as well. */
  readonly undecidedMs = new Map<string, number>();
  hintAll: () => void = () => undefined;
  wakeLane: (refundId: string) => void = () => undefined;
  callPeople: (refundId: string) => void = () => undefined;
  callOperator: (refundId: string) => void = () => undefined;
  restsInReview: (refundId: string | null) => boolean = () => false;
  private readonly calmFromMs: number;
  private readonly times: number;
  private lastPanelMs = 0;
  private lastPersonMs = 0;
  private nonces = 0;
  /** From the window's last safe instant to its end. */
  private readonly safetyMs: number;
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
    // Numbers of their own: a world in which nobody votes is what it would be without this.
    const forPeople = new Random(-seed);
    const approvalPolicy = forPeople.chance(0.35) ? drawPolicy(forPeople, this.times) : null;
    this.isUnreliable = approvalPolicy !== null && forPeople.chance(0.4);
    this.safetyMs = forPeople.pick([1, 2, 7]) * DAY_MS - forPeople.upTo(30 * MINUTE_MS) * this.times;
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
      approvalPolicy,
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
      messages: new Map(),
      resolutions: new Map(),
      booked: new Set(),
    };
    this.provider = new Provider(this, this.flavour, random.upTo(20 * MINUTE_MS));
    const submitBeforeMs = random.chance(0.6) ? null : random.upTo(40 * MINUTE_MS) * this.times;
    const equalMinor = random.pick([100, 250, 400]);
    this.asked = Array.from({ length: 2 + random.whole(3) }, (_, at) => ({
      id: `rfd_${at + 1}`,
      amountMinor: random.chance(0.7) ? equalMinor : random.pick([100, 150, 250, 600]),
      submitBeforeMs,
      requestedBy: REQUESTER,
    }));
    const panels = random.chance(0.35) ? 1 + random.whole(2) : 0;
    for (let panel = 0; panel < panels; panel += 1) {
      const inMs = random.upTo(random.pick([0.3, 3, 20]) * MINUTE_MS);
      this.lastPanelMs = Math.max(this.lastPanelMs, inMs);
      this.act('panel', this.panel(random.chance(0.7) ? equalMinor : 70), inMs);
    }
  }

  termsFor({ amountMinor, submitBeforeMs }: AskedRefund): SagaTerms {
    const { capabilities, approvalPolicy: policy } = this.books;
    const { idempotentSubmit } = capabilities;
    return {
      provider: 'acme',
      paymentId: 'pay_1',
      amountMinor,
      currency: 'BRL',
      needsLane: !idempotentSubmit,
      idempotentSubmit,
      deadlineMs: submitBeforeMs === null ? null : submitBeforeMs + (policy ? this.safetyMs : 0),
      submitBeforeMs,
      quietMs: QUIET_MS,
      pollMs: 3 * SECOND_MS,
      pollMaxMs: 3 * MINUTE_MS * Math.min(this.times, 10),
      retryMaxMs: MINUTE_MS * this.times,
      insufficientBalanceWaitMs: 12 * MINUTE_MS * this.times,
      providerUnavailableWaitMs: 15 * MINUTE_MS * this.times,
      processingReviewAfterMs: 14 * MINUTE_MS * this.times,
      unknownReviewAfterMs: this.unknownReviewAfterMs,
      ...(policy && {
        reminders: { everyMs: policy.remindEveryMs, escalateAfterMs: policy.escalateAfterMs },
      }),
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
      Math.max(this.calmFromMs, this.lastPanelMs, this.lastPersonMs),
    );
  }

  /** Somebody may yet say something, until then. */
  expectPeopleUntil(untilMs: number): void {
    this.lastPersonMs = Math.max(this.lastPersonMs, untilMs);
  }

  nonce(): string {
    return `nonce_${(this.nonces += 1)}`;
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

function drawPolicy(random: Random, times: number): Policy['approval'] {
  const expiresAfterMs = random.pick([2, 10, 40]) * MINUTE_MS * times;
  return {
    rules: random.pick([
      [{ when: {}, approvals: 1 }],
      [{ when: {}, approvals: 2 }],
      [
        { when: { amountGteMinor: 300 }, approvals: 1 },
        { when: { amountGteMinor: 600 }, approvals: 2 },
      ],
    ]),
    expiresAfterMs,
    remindEveryMs: expiresAfterMs * (0.1 + random.upTo(0.5)),
    escalateAfterMs: random.upTo(1.2) * expiresAfterMs,
  };
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
