import type { PaymentReference } from '../../domain/provider.js';
import type { HttpAnswer, HttpClient } from '../http.js';
import { decimalNumber, writeJson } from '../json.js';

export interface PicPayRefund {
  readonly payment: PaymentReference;
  readonly amountMinor: number;
  readonly idempotencyKey: string;
}

/** PicPay 1-Click, in its words: payments, refunds and the OAuth2 token lie under one origin. */
export class PicPayClient {
  constructor(private readonly http: HttpClient) {}

  /** The value is always sent: without it PicPay refunds everything. */
  refund(accessToken: string, refund: PicPayRefund, beforeSend: () => boolean): Promise<HttpAnswer> {
    const { providerPaymentId, providerPaymentReference } = refund.payment;
    return this.http.send({
      method: 'POST',
      path: '/v1/payments/refund',
      headers: {
        Authorization: `Bearer ${accessToken}`,
        'x-Idempotency-Key': refund.idempotencyKey,
        'Content-Type': 'application/json',
      },
      body: writeJson({
        value: decimalNumber(refund.amountMinor),
        transaction_id: providerPaymentId,
        ...(providerPaymentReference === null ? {} : { reference_id: providerPaymentReference }),
      }),
      beforeSend,
    });
  }

  getPayment(accessToken: string, payment: PaymentReference, signal: AbortSignal): Promise<HttpAnswer> {
    const query = new URLSearchParams({ transaction_id: payment.providerPaymentId });
    if (payment.providerPaymentReference !== null) {
      query.set('reference_id', payment.providerPaymentReference);
    }
    return this.http.send({
      method: 'GET',
      path: `/v1/payments?${query}`,
      headers: { Authorization: `Bearer ${accessToken}`, Accept: 'application/json' },
      signal,
    });
  }

  requestToken(form: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    return this.http.send({
      method: 'POST',
      path: '/oauth2/token',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
      body: new URLSearchParams(form).toString(),
    });
  }
}
