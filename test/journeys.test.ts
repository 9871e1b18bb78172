import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { startDeliveries } from '../src/upkeep/deliveries.js';
import { deliveryWorkflowId } from '../workflows/delivery-messages.js';
import { eventually } from './setup/eventually.js';
import { payloadsOf } from './setup/readable-payloads.js';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

interface News {
  readonly type: string;
  readonly data: { readonly id: string; readonly version: number; readonly status: string };
}

const PROVIDERS = ['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const;

describe('a refund’s journey', () => {
  let service: Service;
  const closing: (() => void)[] = [];
  beforeAll(async () => {
    // What nobody sealed is not believed: a client or a worker that does not seal would show.
    const PAYLOAD_KEYS = `k1:${Buffer.alloc(32, 7).toString('base64')}`;
    service = await startService({ WEBHOOK_ALLOW_PRIVATE: 'true', PAYLOAD_KEYS });
  }, 60_000);
  afterAll(async () => {
    for (const close of closing) close();
    await service.close();
  }, 60_000);

  describe.each(PROVIDERS)('through %s', (provider) => {
    it('gives a whole payment back exactly once', async () => {
      const payment = await registerPayment(service, provider, 5_000);
      const asked = await service.call('POST', '/v1/refunds', {
        idempotencyKey: `whole-${provider}`,
        body: { payment_id: payment.id, reason: 'requested_by_customer' },
      });
      expect(asked.status).toBe(202);
      expect(asked.headers.get('location')).toBe(`/v1/refunds/${asked.body.id}`);

      const refund = await refundWhen(service, asked.body.id, isFinal);
      expect(refund).toMatchObject({ status: 'succeeded', amount: 5_000, pending_reason: null });
      expect(refund.evidence).toMatchObject({ provider_status: expect.any(String) });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toMatchObject([
        { amountMinor: 5_000 },
      ]);
      const after = await service.call('GET', `/v1/payments/${payment.id}`);
      expect(after.body).toMatchObject({
        amount_refunded: 5_000,
        amount_reserved: 0,
        amount_external: 0,
        refundable_amount: 0,
      });
    }, 30_000);

    it('gives part of a payment back', async () => {
      const payment = await registerPayment(service, provider, 1_234);
      const asked = await service.call('POST', '/v1/refunds', {
        idempotencyKey: `part-${provider}`,
        body: { payment_id: payment.id, amount: 234, reason: 'duplicate', description: 'part' },
      });
      expect(asked.status).toBe(202);
      const refund = await refundWhen(service, asked.body.id, isFinal);
      expect(refund).toMatchObject({ status: 'succeeded', amount: 234 });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toMatchObject([
        { amountMinor: 234 },
      ]);
    }, 30_000);
  });

  it("tells an endpoint all of a refund's versions, the last one as the API shows it", async () => {
    const received: { headers: Record<string, string>; text: string }[] = [];
    const receiver = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const headers = request.headers as Record<string, string>;
        received.push({ headers, text: Buffer.concat(chunks).toString('utf8') });
        response.end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    closing.push(() => {
      receiver.closeAllConnections();
      receiver.close();
    });
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/in`;
    const endpoint = await service.call('POST', '/v1/webhook-endpoints', { role: 'admin', body: { url } });
    expect(endpoint.status).toBe(201);

    const payment = await registerPayment(service, 'pagou', 5_000);
    const asked = await service.call('POST', '/v1/refunds', {
      idempotencyKey: 'k-1',
      body: { payment_id: payment.id, amount: 1_050, reason: 'duplicate' },
    });
    const ended = await refundWhen(service, asked.body.id, ({ status }) => status === 'succeeded');
    const verify = ({ headers, text }: (typeof received)[number]) =>
      new Webhook(String(endpoint.body['secret'])).verify(text, headers) as News;
    const news = await eventually(
      async () => {
        await startDeliveries(service.db, service.client, Date.now());
        return received.map(verify);
      },
      (all) => all.at(-1)?.type === 'refund.succeeded',
    );
    expect(news[0]).toMatchObject({ type: 'refund.created', data: { id: ended.id, version: 1 } });
    const versions = news.map(({ data }) => data.version);
    expect(versions).toEqual(versions.map((_, at) => at + 1));
    expect(news.at(-1)?.data).toEqual(ended);

    const path = `/v1/webhook-endpoints/${endpoint.body.id}/deliveries`;
    const listed = await service.call('GET', path, { role: 'admin' });
    expect(listed.body).toMatchObject({ data: news.map(() => ({ status: 'delivered', attempts: 1 })) });
    const line = { endpointId: endpoint.body.id, subject: ended.id };
    const { sealed, readable } = await payloadsOf(service.client.connection, deliveryWorkflowId(line));
    expect(sealed).toBeGreaterThan(3);
    expect(readable).toEqual([]);
  });
});
