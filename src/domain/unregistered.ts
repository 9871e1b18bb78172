import type { Payment } from './payment.js';
import type { PaymentSnapshot, ProviderCapabilities } from './provider.js';

export type ShownFacts = Pick<
  Payment,
  'amountMinor' | 'currency' | 'method' | 'paidAtMs' | 'providerPaymentReference'
>;

/**
 * The facts of a payment that nobody registered, as its provider shows them; null where one is missing that would
 * have to be guessed. The currency is the provider's only one where it shows none.
 */
export function factsShown(snapshot: PaymentSnapshot, capabilities: ProviderCapabilities): ShownFacts | null {
  const { amountMinor, paidAtMs } = snapshot;
  const currency =
    snapshot.currency ?? (capabilities.currencies?.length === 1 ? capabilities.currencies[0] : undefined);
  if (!capabilities.readsUnregistered || currency === undefined) return null;
  if (amountMinor === null || amountMinor === 0 || paidAtMs === null) return null;
  return {
    amountMinor,
    currency,
    method: snapshot.method ?? capabilities.defaultMethod,
    paidAtMs,
    providerPaymentReference: snapshot.providerPaymentReference,
  };
}
