import type { PaymentReference } from '../../domain/provider.js';
import { formatDecimal } from '../../domain/money.js';
import type { HttpAnswer, HttpClient } from '../http.js';
import { providerDate } from '../instants.js';
import { writeJson } from '../json.js';

export interface EfiRefund {
  readonly payment: PaymentReference;
  readonly amountMinor: number;
  readonly idempotencyKey: string;
}

const IDEMPOTENCY_KEY_LENGTH_MAX = 72;
const DAY_MS = 24 * 60 * 60 * 1000;
/** A payment is created before it is paid. */
const CREATED_BEFORE_PAID_MS = 7 * DAY_MS;
/** Longer than any Pix can be refunded. */
const CREATED_BEFORE_NOW_MS = 120 * DAY_MS;

/** Efí Open Finance, in its words. */
export class EfiClient {
  private readonly basic: string;

  constructor(
    private readonly http: HttpClient,
    app: { readonly clientId: string; readonly clientSecret: string },
  ) {
    this.basic = Buffer.from(`${app.clientId}:${app.clientSecret}`).toString('base64');
  }

  devolver(accessToken: string, refund: EfiRefund, beforeSend: () => boolean): Promise<HttpAnswer> {
    return this.http.send({
      method: 'POST',
      path: `/v1/pagamentos/pix/${encodeURIComponent(refund.payment.providerPaymentId)}/devolver`,
      headers: {
        Authorization: `Bearer ${accessToken}`,
        'Content-Type': 'application/json',
        // Sent as Efí's own SDK does; nothing says that it is looked at here.
        'x-idempotency-key': refund.idempotencyKey
          .replace(/[^A-Za-z0-9]/g, '')
          .slice(0, IDEMPOTENCY_KEY_LENGTH_MAX),
      },
      body: writeJson({ valor: formatDecimal(refund.amountMinor) }),
      beforeSend,
    });
  }

  /** `inicio` and `fim` are mandatory, but ignored beside `identificador`. */
  listPayments(
    accessToken: string,
    payment: PaymentReference,
    nowMs: number,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const { paidAtMs, providerPaymentId } = payment;
    const createdFromMs =
      paidAtMs === null ? nowMs - CREATED_BEFORE_NOW_MS : paidAtMs - CREATED_BEFORE_PAID_MS;
    const query = new URLSearchParams({
      inicio: providerDate(createdFromMs),
      fim: providerDate(Math.max(nowMs, createdFromMs)),
      identificador: providerPaymentId,
    });
    return this.http.send({
      method: 'GET',
      path: `/v1/pagamentos/pix?${query}`,
      headers: { Authorization: `Bearer ${accessToken}`, Accept: 'application/json' },
      signal,
    });
  }

  requestToken(): Promise<HttpAnswer> {
    return this.http.send({
      method: 'POST',
      path: '/v1/oauth/token',
      headers: { Authorization: `Basic ${this.basic}`, 'Content-Type': 'application/json' },
      body: writeJson({ grant_type: 'client_credentials' }),
    });
  }
}
