import type { PaymentMethod } from './payment.js';
import type { RefundReason } from './refund.js';

/** The PORT: all that the rest of the service knows of a payment provider. */
export interface RefundProvider {
  readonly name: string;
  readonly capabilities: ProviderCapabilities;

  /**
   * Reads the payment and every refund that the provider shows for it.
   * Never throws for what the provider does: an outage, a limit or an unreadable answer is a value.
   */
  readPayment(payment: PaymentReference, signal: AbortSignal): Promise<PaymentRead>;

  /**
   * Asks for one refund, once: no retry happens below this call, except that a repeat under the same
   * idempotency key is allowed where `capabilities.idempotentSubmit` says so.
   * `beforeSend` runs at the last instant before bytes may leave; where it answers false nothing is sent and
   * the outcome is `notNow` with reason `send_by_passed`.
   */
  submitRefund(request: SubmitRequest, beforeSend: () => boolean): Promise<SubmitOutcome>;

  /** Null where the provider has no webhooks: its route answers 404. */
  readonly webhook: ProviderWebhook | null;
}

export interface ProviderWebhook {
  /** Authenticates the raw body in constant time. `nowMs` serves replay windows. */
  verifyWebhook(delivery: WebhookDelivery, nowMs: number): boolean;
  /** The canonical payment id that the delivery speaks of, null where it names none, `malformed` where it can't be read. */
  parseWebhook(
    rawBody: Buffer,
  ):
    | { readonly kind: 'hint'; readonly providerPaymentId: string | null }
    | { readonly kind: 'malformed'; readonly detail: string };
}

export interface WebhookDelivery {
  readonly rawBody: Buffer;
  /** Header names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly query: Readonly<Record<string, string | undefined>>;
}

export interface ProviderCapabilities {
  /** The same idempotency key is proven to be the same refund (PicPay alone). Without it a payment has one open attempt at a time. */
  readonly idempotentSubmit: boolean;
  /** How many refunds one payment may have: full only, one of any amount, or many. */
  readonly partials: 'none' | 'one' | 'many';
  /** Where the confirmation comes from: the answer itself, or reads (hinted by a webhook where there is one). */
  readonly confirmation: 'response' | 'read';
  /** The method that a payment has when its registration names none. */
  readonly defaultMethod: PaymentMethod;
  /** The methods that may be registered here, the default one included: never looser than the provider's document. */
  readonly methods: readonly PaymentMethod[];
  /** ISO 4217 codes that the provider refunds in; null where its document names no limit. */
  readonly currencies: readonly string[] | null;
  /** Payments can be read from the provider alone, so that an unregistered one can be refunded. */
  readonly readsUnregistered: boolean;
}

/** How the provider knows a payment, with the payment's own credentials where it has some. */
export interface PaymentReference {
  readonly providerPaymentId: string;
  readonly providerPaymentReference: string | null;
  /** Our id, for stored per-payment credentials; null before registration. */
  readonly paymentId: string | null;
  readonly paidAtMs: number | null;
}

export type PaymentRead =
  | { readonly kind: 'found'; readonly snapshot: PaymentSnapshot }
  | { readonly kind: 'notFound'; readonly detail: string }
  | {
      readonly kind: 'unavailable';
      readonly reason: 'provider_unavailable' | 'authorization_required';
      readonly retryAfterMs: number | null;
      readonly detail: string;
    }
  /** Answered, but not in a way that can be trusted (HTML, cut short, a member of another type). */
  | { readonly kind: 'unreadable'; readonly detail: string };

/** What a provider shows of a payment at one instant. Facts that the provider does not show are null. */
export interface PaymentSnapshot {
  readonly status: 'refundable' | 'refunded' | 'notRefundable' | 'unknown';
  /** The provider's own word or number for it. */
  readonly providerStatus: string;
  readonly providerPaymentReference: string | null;
  readonly amountMinor: number | null;
  /** The amount shown may already be less its refunds (4Geeks). */
  readonly amountMayBeReduced: boolean;
  readonly currency: string | null;
  readonly method: PaymentMethod | null;
  readonly paidAtMs: number | null;
  readonly refunds: readonly ProviderRefund[];
  /** What went back in all, above zero, where the provider shows that instead of a list; absent where it lists. */
  readonly totalOnlyMinor?: number;
  /** False where the list may be cut or contradicts a total that the same answer shows. */
  readonly complete: boolean;
}

export interface ProviderRefund {
  /** Null where the provider gives its refunds no id (Braspag). */
  readonly providerRefundId: string | null;
  readonly amountMinor: number;
  readonly status: ProviderRefundStatus;
  readonly providerStatus: string;
}

/**
 * `unclear` is a documented word that leaves it open whether money moved (Braspag 0); `unknown` is a word that
 * no document lists.
 */
export type ProviderRefundStatus = 'succeeded' | 'processing' | 'rejected' | 'unclear' | 'unknown';

export interface SubmitRequest {
  readonly payment: PaymentReference;
  readonly refundId: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly reason: RefundReason;
  readonly description: string | null;
  /** One a refund and attempt, the same on every repeat of it. Only characters of [A-Za-z0-9-], at most 72. */
  readonly idempotencyKey: string;
}

export interface ProviderError {
  readonly code: string;
  readonly message: string;
}

/** How a call ended, in words that are true. Each carries what the provider said, for the trail. */
export type SubmitOutcome =
  /** The provider says that the money went back. */
  | { readonly kind: 'done'; readonly providerRefundId: string | null; readonly providerStatus: string }
  /** Asked for, not done: only reads confirm. */
  | { readonly kind: 'accepted'; readonly providerRefundId: string | null; readonly providerStatus: string }
  /** `mayBeOurs`: the same words also come when the refund has landed ("already refunded"): a reading decides. */
  | { readonly kind: 'declined'; readonly error: ProviderError; readonly mayBeOurs: boolean }
  /** Nothing can have happened. */
  | {
      readonly kind: 'notNow';
      readonly reason:
        'provider_unavailable' | 'insufficient_balance' | 'authorization_required' | 'send_by_passed';
      readonly error: ProviderError;
      readonly retryAfterMs: number | null;
    }
  /** Anything else: the money may have moved. `retryAfterMs` only sets the earliest resend. */
  | { readonly kind: 'unknown'; readonly error: ProviderError; readonly retryAfterMs: number | null };
