import { randomUUID } from 'node:crypto';
import type { HttpAnswer, HttpClient } from '../http.js';

/** Braspag's gateway, in its words: one host changes sales, another one shows them. */
export class BraspagClient {
  constructor(
    private readonly hosts: { readonly api: HttpClient; readonly query: HttpClient },
    private readonly merchant: { readonly merchantId: string; readonly merchantKey: string },
  ) {}

  /** The amount is in centavos and always sent: without it everything is voided. */
  voidSale(paymentId: string, amountMinor: number, beforeSend: () => boolean): Promise<HttpAnswer> {
    const path = `/v2/sales/${encodeURIComponent(paymentId)}/void?amount=${amountMinor}`;
    return this.hosts.api.send({ method: 'PUT', path, headers: this.headers(), beforeSend });
  }

  getSale(paymentId: string, signal: AbortSignal): Promise<HttpAnswer> {
    const path = `/v2/sales/${encodeURIComponent(paymentId)}`;
    return this.hosts.query.send({ method: 'GET', path, headers: this.headers(), signal });
  }

  /** RequestId is for tracing alone: Braspag documents no deduplication by it. */
  private headers(): Record<string, string> {
    const { merchantId, merchantKey } = this.merchant;
    return {
      MerchantId: merchantId,
      MerchantKey: merchantKey,
      RequestId: randomUUID(),
      Accept: 'application/json',
    };
  }
}
