import type { Book, PaymentState, SimulatedPayment, SimulatedProvider, SimulatedRefund } from './book.js';
import { REFUND_STATES, type RefundState } from './book.js';
import type { FateFault } from './faults.js';
import type { IdSource } from './wire.js';

export interface NewPayment {
  readonly amountMinor: number;
  /** Default BRL; another one makes sense at 4Geeks alone. */
  readonly currency?: string | undefined;
  /** RFC 3339; by default a minute ago. */
  readonly paidAt?: string | Date | undefined;
  readonly method?: SimulatedPayment['method'] | undefined;
  readonly status?: PaymentState | undefined;
}

/** Moves the simulated money: what all five providers do alike behind their different words. */
export class Bank {
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(
    readonly book: Book,
    readonly ids: IdSource,
    readonly confirmDelayMs: number,
    private readonly takeFate: (provider: SimulatedProvider) => readonly FateFault[],
    private readonly announce: (refund: SimulatedRefund) => void,
  ) {}

  createPayment(provider: SimulatedProvider, wanted: NewPayment): SimulatedPayment {
    const paidAtMs = wanted.paidAt === undefined ? Date.now() - 60_000 : new Date(wanted.paidAt).getTime();
    if (!Number.isFinite(paidAtMs)) throw new RangeError('paidAt is no instant');
    if (!Number.isSafeInteger(wanted.amountMinor) || wanted.amountMinor < 1) {
      throw new RangeError('amountMinor is no positive number of minor units');
    }
    const payment: SimulatedPayment = {
      provider,
      providerPaymentId: this.ids.paymentId(provider),
      providerPaymentReference: provider === 'picpay' ? this.ids.uuid() : null,
      amountMinor: wanted.amountMinor,
      currency: wanted.currency ?? 'BRL',
      method: wanted.method ?? defaultMethod(provider),
      state: wanted.status ?? 'paid',
      paidAtMs,
    };
    this.book.writePayment(payment);
    return payment;
  }

  /** What may still go back: refunds under way count, rejected ones do not. */
  restMinor(payment: SimulatedPayment): number {
    return payment.amountMinor - sumMinor(this.#all(payment), ['pending', 'succeeded', 'unclear']);
  }

  /** What the payment's refunds look like to a reader: a stale one lacks the newest. */
  refundsOf(payment: SimulatedPayment, stale = false): readonly SimulatedRefund[] {
    const refunds = this.#all(payment).filter((refund) => !refund.hidden);
    return stale ? refunds.slice(0, -1) : refunds;
  }

  /** A refund asked for over the API; `confirmation: 'response'` is done with the answer. */
  acceptRefund(
    payment: SimulatedPayment,
    amountMinor: number,
    confirmation: 'response' | 'later',
    reason: string | null = null,
  ): SimulatedRefund {
    const fates = this.takeFate(payment.provider);
    const has = (name: FateFault['name']): boolean => fates.some((fate) => fate.name === name);
    let atMs = Date.now() + this.confirmDelayMs;
    let bookedMinor = amountMinor;
    let afterwards: SimulatedRefund['afterwards'] = null;
    for (const fate of fates) {
      if (fate.name === 'confirm_delay') atMs = Date.now() + fate.ms;
      if (fate.name === 'other_amount') bookedMinor = Math.min(fate.amountMinor, this.restMinor(payment));
      if (fate.name === 'taken_back' || fate.name === 'vanishes') {
        afterwards = { fate: fate.name, atMs: (confirmation === 'response' ? Date.now() : atMs) + fate.ms };
      }
    }
    const shape = { reason, afterwards, fates: fates.map(({ name }) => name) };
    const refund = this.#record(
      payment,
      bookedMinor,
      confirmation === 'response'
        ? { ...shape, status: 'succeeded' }
        : {
            ...shape,
            status: has('unclear') ? 'unclear' : 'pending',
            due: has('never_confirms')
              ? null
              : { status: has('reject_later') ? 'rejected' : 'succeeded', atMs },
            notify: !has('no_webhook'),
          },
    );
    this.#await(refund);
    this.#awaitAfterwards(refund);
    return refund;
  }

  /** Money that leaves without the API (a panel, a bank's claim): final at once, and nobody is told. */
  addPanelRefund(payment: SimulatedPayment, amountMinor: number): SimulatedRefund {
    const restMinor =
      payment.provider === 'pagou' && this.refundsOf(payment).length > 0 ? 0 : this.restMinor(payment);
    if (!(amountMinor > 0 && amountMinor <= restMinor)) {
      throw new RangeError('more than may still be refunded');
    }
    return this.#record(payment, amountMinor, { status: 'succeeded', origin: 'panel' });
  }

  /** Ends a refund by hand: one that never confirms, or a done one that the provider takes back. */
  setRefundStatus(refund: SimulatedRefund, status: RefundState): SimulatedRefund {
    const settled = { ...refund, status, due: null, settledAtMs: status === 'pending' ? null : Date.now() };
    this.book.writeRefund(settled);
    this.#awaitAfterwards(settled);
    return settled;
  }

  /** Takes up the refunds that were under way when an earlier process ended. */
  resume(): void {
    for (const refund of this.book.refunds()) {
      this.#await(refund);
      this.#awaitAfterwards(refund);
    }
  }

  later(delayMs: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, delayMs);
    this.#timers.add(timer);
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #record(
    payment: SimulatedPayment,
    amountMinor: number,
    facts: Partial<SimulatedRefund> & Pick<SimulatedRefund, 'status'>,
  ): SimulatedRefund {
    const now = Date.now();
    const refund: SimulatedRefund = {
      id: this.ids.refundId(payment.provider, now),
      provider: payment.provider,
      providerPaymentId: payment.providerPaymentId,
      amountMinor,
      origin: 'api',
      reason: null,
      createdAtMs: now,
      settledAtMs: facts.status === 'succeeded' ? now : null,
      due: null,
      notify: false,
      afterwards: null,
      hidden: false,
      fates: [],
      ...facts,
    };
    this.book.writeRefund(refund);
    return refund;
  }

  #await(refund: SimulatedRefund): void {
    if (refund.due === null) return;
    const { status, atMs } = refund.due;
    this.later(Math.max(0, atMs - Date.now()), () => {
      const now = this.#asItStands(refund);
      if (now?.due) this.#settle(now, status);
    });
  }

  #awaitAfterwards(refund: SimulatedRefund): void {
    if (refund.afterwards === null || refund.status !== 'succeeded') return;
    const { fate, atMs } = refund.afterwards;
    this.later(Math.max(0, atMs - Date.now()), () => {
      const now = this.#asItStands(refund);
      if (now?.status !== 'succeeded') return;
      const changed = fate === 'vanishes' ? { hidden: true } : { status: 'rejected' as const };
      this.book.writeRefund({ ...now, ...changed, afterwards: null });
    });
  }

  #asItStands(refund: SimulatedRefund): SimulatedRefund | undefined {
    return this.book
      .refundsOf(refund.provider, refund.providerPaymentId)
      .find((other) => other.id === refund.id);
  }

  #all(payment: SimulatedPayment): readonly SimulatedRefund[] {
    return this.book.refundsOf(payment.provider, payment.providerPaymentId);
  }

  #settle(refund: SimulatedRefund, status: 'succeeded' | 'rejected'): void {
    const settled = this.setRefundStatus(refund, status);
    // No document says that a refused refund is announced, so none is.
    if (settled.notify && status === 'succeeded') this.announce(settled);
  }
}

export function sumMinor(
  refunds: readonly SimulatedRefund[],
  statuses: readonly RefundState[] = REFUND_STATES,
): number {
  return refunds.reduce(
    (sum, refund) => (statuses.includes(refund.status) ? sum + refund.amountMinor : sum),
    0,
  );
}

function defaultMethod(provider: SimulatedProvider): SimulatedPayment['method'] {
  switch (provider) {
    case 'picpay':
      return 'wallet';
    case 'efi':
    case 'braspag':
    case 'pagou':
      return 'pix';
    case 'fourgeeks':
      return 'card';
  }
}
