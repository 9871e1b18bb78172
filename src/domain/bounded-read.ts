import type { PaymentRead, PaymentReference, RefundProvider } from './provider.js';

/** A reading that somebody waits for: late is unavailable, whatever the provider's login or connection is doing. */
export async function readPaymentWithin(
  provider: RefundProvider,
  payment: PaymentReference,
  withinMs: number,
): Promise<PaymentRead> {
  const signal = AbortSignal.timeout(withinMs);
  const late = new Promise<PaymentRead>((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve({
          kind: 'unavailable',
          reason: 'provider_unavailable',
          retryAfterMs: null,
          detail: 'no answer in time',
        });
      },
      { once: true },
    );
  });
  return Promise.race([provider.readPayment(payment, signal), late]);
}
