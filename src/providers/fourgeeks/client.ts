import type { HttpAnswer, HttpClient } from '../http.js';
import { decimalNumber, writeJson } from '../json.js';

export interface FourGeeksRefund {
  readonly chargeId: string;
  readonly amountMinor: number;
  readonly reason: string;
}

export interface Page {
  readonly limit: number;
  readonly offset: number;
}

/** 4Geeks Payments, in its words. `test` is never sent: the key's prefix says which mode it is for. */
export class FourGeeksClient {
  private readonly headers: Readonly<Record<string, string>>;

  constructor(
    private readonly http: HttpClient,
    secretKey: string,
  ) {
    const basic = Buffer.from(`${secretKey}:`).toString('base64');
    this.headers = { Authorization: `Basic ${basic}`, Accept: 'application/json' };
  }

  /** The amount is always sent: without it 4Geeks refunds everything. */
  createRefund(
    { chargeId, amountMinor, reason }: FourGeeksRefund,
    beforeSend: () => boolean,
  ): Promise<HttpAnswer> {
    return this.http.send({
      method: 'POST',
      path: '/v1/refunds/',
      headers: { ...this.headers, 'Content-Type': 'application/json' },
      body: writeJson({ charge_id: chargeId, amount: decimalNumber(amountMinor), reason }),
      beforeSend,
    });
  }

  listRefunds(chargeId: string, page: Page | null, signal: AbortSignal): Promise<HttpAnswer> {
    const query = new URLSearchParams({ charge_id: chargeId });
    if (page) {
      query.set('limit', String(page.limit));
      query.set('offset', String(page.offset));
    }
    return this.http.send({ method: 'GET', path: `/v1/refunds/?${query}`, headers: this.headers, signal });
  }

  getPayment(id: string, signal: AbortSignal): Promise<HttpAnswer> {
    return this.http.send({
      method: 'GET',
      path: `/v1/payments/${encodeURIComponent(id)}`,
      headers: this.headers,
      signal,
    });
  }
}
