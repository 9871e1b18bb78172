import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { WireFault } from './faults.js';

export const SIMULATED_PROVIDERS = ['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const;
export type SimulatedProvider = (typeof SIMULATED_PROVIDERS)[number];

/** `paid_out` is 4Geeks' money that has reached the merchant's bank. */
export const PAYMENT_STATES = ['paid', 'unpaid', 'canceled', 'failed', 'paid_out'] as const;
export type PaymentState = (typeof PAYMENT_STATES)[number];

/** `unclear` is Braspag's 0: the acquirer could not be reached. */
export const REFUND_STATES = ['pending', 'succeeded', 'rejected', 'unclear'] as const;
export type RefundState = (typeof REFUND_STATES)[number];

export const PAYMENT_METHODS = ['pix', 'pix_withdrawal', 'wallet', 'card'] as const;

export interface SimulatedPayment {
  readonly provider: SimulatedProvider;
  readonly providerPaymentId: string;
  readonly providerPaymentReference: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  readonly method: (typeof PAYMENT_METHODS)[number];
  readonly state: PaymentState;
  readonly paidAtMs: number;
}

export interface SimulatedRefund {
  readonly id: string;
  readonly provider: SimulatedProvider;
  readonly providerPaymentId: string;
  readonly amountMinor: number;
  readonly status: RefundState;
  /** `panel` is money that left without the API. */
  readonly origin: 'api' | 'panel';
  readonly reason: string | null;
  readonly createdAtMs: number;
  readonly settledAtMs: number | null;
  /** What will become of it and when; null once settled, or where it never settles. */
  readonly due: { readonly status: 'succeeded' | 'rejected'; readonly atMs: number } | null;
  /** Whether its confirmation is announced by a webhook. */
  readonly notify: boolean;
  /** What becomes of it after it was done, and when; null once that has happened, and where nothing does. */
  readonly afterwards: { readonly fate: 'taken_back' | 'vanishes'; readonly atMs: number } | null;
  /** No reader is shown it any more. */
  readonly hidden: boolean;
  /** The faults that shaped it. */
  readonly fates: readonly string[];
}

export type CallOperation = 'submit' | 'read' | 'token' | 'webhook' | 'other';

export interface SimulatedCall {
  readonly provider: SimulatedProvider;
  readonly operation: CallOperation;
  readonly method: string;
  /** With its query; a webhook's without, since Efí's holds the secret. */
  readonly path: string;
  /** Without authorization, keys and signatures. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed where it is JSON; of a token call only the grant. */
  readonly body: unknown;
  readonly atMs: number;
  /** Of a webhook: what its receiver answered, 0 where it could not be reached. */
  readonly status?: number;
  /** The fault that struck it. */
  readonly fault?: WireFault;
}

type Line =
  | { readonly kind: 'payment'; readonly payment: SimulatedPayment }
  | { readonly kind: 'refund'; readonly refund: SimulatedRefund }
  | { readonly kind: 'call'; readonly call: SimulatedCall }
  | { readonly kind: 'fact'; readonly name: string; readonly value: unknown };

/**
 * What the five providers hold to be true. Every change is one line appended to `simulators/book.jsonl` by one
 * write before anything is answered, so that killing the process loses nothing; the last line about a thing wins.
 * Without a folder the book lives in memory.
 */
export class Book {
  readonly #payments = new Map<string, SimulatedPayment>();
  readonly #refunds = new Map<string, Map<string, SimulatedRefund>>();
  readonly #calls: SimulatedCall[] = [];
  readonly #facts = new Map<string, unknown>();
  readonly #file: number | null;
  #lineCount = 0;

  constructor(dataDir: string | null) {
    if (dataDir === null) {
      this.#file = null;
      return;
    }
    const folder = join(dataDir, 'simulators');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, 'book.jsonl');
    const text = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    const wholeBytes = text.lastIndexOf('\n') + 1;
    for (const line of text.subarray(0, wholeBytes).toString('utf8').split('\n')) {
      if (line !== '') this.#apply(JSON.parse(line) as Line);
    }
    this.#file = openSync(path, 'a', 0o600);
    // A kill in the middle of a write leaves a torn last line: it was never answered for.
    ftruncateSync(this.#file, wholeBytes);
  }

  /** Grows with every write: an id seed that never repeats over one file. */
  get lineCount(): number {
    return this.#lineCount;
  }

  payment(provider: SimulatedProvider, providerPaymentId: string): SimulatedPayment | undefined {
    return this.#payments.get(`${provider}/${providerPaymentId}`);
  }

  payments(provider?: SimulatedProvider): readonly SimulatedPayment[] {
    return [...this.#payments.values()].filter((payment) => !provider || payment.provider === provider);
  }

  /** Oldest first. */
  refundsOf(provider: SimulatedProvider, providerPaymentId: string): readonly SimulatedRefund[] {
    return [...(this.#refunds.get(`${provider}/${providerPaymentId}`)?.values() ?? [])];
  }

  refunds(provider?: SimulatedProvider): readonly SimulatedRefund[] {
    return this.payments(provider).flatMap((payment) =>
      this.refundsOf(payment.provider, payment.providerPaymentId),
    );
  }

  callsOf(provider: SimulatedProvider, operation?: CallOperation): readonly SimulatedCall[] {
    return this.#calls.filter(
      (call) => call.provider === provider && (!operation || call.operation === operation),
    );
  }

  /** What a provider must remember besides money: PicPay's idempotency keys and refresh tokens. */
  fact(name: string): unknown {
    return this.#facts.get(name);
  }

  writePayment(payment: SimulatedPayment): void {
    this.#write({ kind: 'payment', payment });
  }

  writeRefund(refund: SimulatedRefund): void {
    this.#write({ kind: 'refund', refund });
  }

  writeCall(call: SimulatedCall): void {
    this.#write({ kind: 'call', call });
  }

  writeFact(name: string, value: unknown): void {
    this.#write({ kind: 'fact', name, value });
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
  }

  #write(line: Line): void {
    if (this.#file !== null) writeSync(this.#file, `${JSON.stringify(line)}\n`);
    this.#apply(line);
  }

  #apply(line: Line): void {
    this.#lineCount += 1;
    switch (line.kind) {
      case 'payment':
        this.#payments.set(`${line.payment.provider}/${line.payment.providerPaymentId}`, line.payment);
        return;
      case 'refund': {
        const payment = `${line.refund.provider}/${line.refund.providerPaymentId}`;
        const refunds = this.#refunds.get(payment) ?? new Map<string, SimulatedRefund>();
        this.#refunds.set(payment, refunds.set(line.refund.id, line.refund));
        return;
      }
      case 'call':
        this.#calls.push(line.call);
        return;
      case 'fact':
        this.#facts.set(line.name, line.value);
        return;
    }
  }
}
