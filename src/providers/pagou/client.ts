import type { HttpAnswer, HttpClient } from '../http.js';
import { decimalNumber, writeJson } from '../json.js';

export interface PagouRefund {
  readonly id: string;
  readonly amountMinor: number;
  readonly reason: number;
  readonly description: string;
}

const DESCRIPTION_LENGTH_MAX = 255;

/** pagou.com.br, in its words. */
export class PagouClient {
  private readonly headers: Readonly<Record<string, string>>;

  constructor(
    private readonly http: HttpClient,
    apiKey: string,
  ) {
    this.headers = { 'X-API-KEY': apiKey, 'User-Agent': 'Estorno/1.0', Accept: 'application/json' };
  }

  refundPix(
    { id, amountMinor, reason, description }: PagouRefund,
    beforeSend: () => boolean,
  ): Promise<HttpAnswer> {
    return this.http.send({
      method: 'DELETE',
      path: `/v1/pix/${encodeURIComponent(id)}/refund`,
      headers: { ...this.headers, 'Content-Type': 'application/json' },
      body: writeJson({
        amount: decimalNumber(amountMinor),
        reason,
        description: [...description].slice(0, DESCRIPTION_LENGTH_MAX).join(''),
      }),
      beforeSend,
    });
  }

  getPix(id: string, signal: AbortSignal): Promise<HttpAnswer> {
    return this.http.send({
      method: 'GET',
      path: `/v1/pix/${encodeURIComponent(id)}`,
      headers: this.headers,
      signal,
    });
  }
}
