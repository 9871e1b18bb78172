import type {
  SimulatedCall,
  SimulatedPayment,
  SimulatedProvider,
  SimulatedRefund,
} from '../simulators/book.js';
import type { Fault } from '../simulators/faults.js';
import type { CreatedPayment } from '../simulators/start.js';
import { retried } from './retries.js';

/** The simulators' control API. They are killed too: what must happen is tried until it does. */
export interface Control {
  createPayment(provider: SimulatedProvider, amountMinor: number): Promise<CreatedPayment>;
  /** False where they were away, or the provider's document has no room for the fault. */
  inject(provider: SimulatedProvider, fault: Fault): Promise<boolean>;
  clearFaults(): Promise<void>;
  /** False where they were away, or so much is not left. */
  addPanelRefund(payment: PaymentPlace, amountMinor: number): Promise<boolean>;
  setRefundStatus(refund: SimulatedRefund, status: 'succeeded' | 'rejected'): Promise<void>;
  /** What the service answered to each; empty where they were away. */
  sendWebhooks(payment: PaymentPlace, times: number): Promise<readonly number[]>;
  books(): Promise<{
    readonly payments: readonly SimulatedPayment[];
    readonly refunds: readonly SimulatedRefund[];
  }>;
  /** Every call that a fault struck. */
  struckCalls(): Promise<readonly SimulatedCall[]>;
}

export interface PaymentPlace {
  readonly provider: SimulatedProvider;
  readonly providerPaymentId: string;
}

export function controlAt(origin: string): Control {
  const ask = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const answer = await fetch(origin + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${text}`);
    return (text === '' ? null : JSON.parse(text)) as T;
  };
  const insist = <T>(method: string, path: string, body?: object): Promise<T> =>
    retried(() => ask<T>(method, path, body), INSIST_MS);
  const succeeds = (work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => true,
      () => false,
    );
  return {
    createPayment: (provider, amountMinor) => insist('POST', '/payments', { provider, amountMinor }),
    inject: (provider, fault) => succeeds(ask('POST', '/faults', { provider, fault })),
    clearFaults: () => insist('DELETE', '/faults'),
    addPanelRefund: ({ provider, providerPaymentId }, amountMinor) =>
      succeeds(ask('POST', '/panel-refunds', { provider, providerPaymentId, amountMinor })),
    setRefundStatus: ({ provider, providerPaymentId, id }, status) =>
      insist('POST', '/refund-status', { provider, providerPaymentId, refundId: id, status }),
    sendWebhooks: ({ provider, providerPaymentId }, times) =>
      ask<{ statuses: readonly number[] }>('POST', '/webhooks', { provider, providerPaymentId, times }).then(
        ({ statuses }) => statuses,
        () => [],
      ),
    books: () => insist('GET', '/books'),
    struckCalls: async () =>
      (await insist<{ calls: readonly SimulatedCall[] }>('GET', '/calls?struck=true')).calls,
  };
}

const ANSWER_WITHIN_MS = 20_000;
const INSIST_MS = 60_000;
