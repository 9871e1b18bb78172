import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { freePort } from '../../src/embedded/ports.js';
import { serveUiCodec } from '../../src/embedded/ui-codec.js';
import { createApiKey } from '../../src/ledger/keys.js';
import { refundWorkflowId } from '../../workflows/messages.js';
import { describeInBrowser, openBrowser } from '../setup/browser.js';
import { isFinal, refundWhen, registerPayment, startService, type Service } from '../setup/service.js';

const DESCRIPTION = 'Maria Oliveira wants it back';

jest.setTimeout(60_000);

describeInBrowser('Temporal’s UI', () => {
  let service: Service;
  let browser: Browser;
  let uiOrigin: string;
  let refundId: string;
  let operatorKey: string;
  beforeAll(async () => {
    browser = await openBrowser();
    const uiCodec = await serveUiCodec();
    const uiPort = await freePort(0);
    uiOrigin = `http://127.0.0.1:${uiPort}`;
    const ui = { uiPort, uiCodecEndpoint: uiCodec.endpoint };
    service = await startService({ CODEC_CORS_ORIGINS: uiOrigin }, {}, ui);
    operatorKey = (await createApiKey(service.db, { actor: 'olga', roles: ['operator'], nowMs: Date.now() }))
      .key;
    uiCodec.connect({ uiOrigin, apiOrigin: service.url, apiKey: operatorKey });
    const payment = await registerPayment(service, 'picpay', 4_200);
    const { body } = await service.call('POST', '/v1/refunds', {
      idempotencyKey: 'seen-in-a-browser',
      body: { payment_id: payment.id, reason: 'duplicate', description: DESCRIPTION },
    });
    refundId = body.id;
    await refundWhen(service, refundId, isFinal);
  });
  afterAll(async () => {
    await browser.close();
    await service.close();
  });

  it('shows the input of a sealed refund, opened, and what it is about', async () => {
    const page = await openedRefund(uiOrigin);
    await page.getByText(DESCRIPTION).first().waitFor();
    await page.getByText('User Metadata').first().click();
    const summary = page.locator('iframe').first().contentFrame();
    await summary.getByText('Refund through picpay').waitFor();
    expect(await page.getByText(/could not connect/i).count()).toBe(0);
    await page.close();
  });

  it('may call the service itself with an operator’s key, and a page from elsewhere may not', async () => {
    const ask = async (origin: string): Promise<number | string> => {
      const page = await openedRefund(origin);
      const status = await page.evaluate(askCodec, { url: service.url, key: operatorKey });
      await page.close();
      return status;
    };
    expect(await ask(uiOrigin)).toBe(200);
    expect(await ask(uiOrigin.replace('127.0.0.1', 'localhost'))).toBe('TypeError');
  });

  async function openedRefund(origin: string): Promise<Page> {
    const page = await browser.newPage();
    const id = encodeURIComponent(refundWorkflowId(refundId));
    await page.goto(`${origin}/namespaces/default/workflows/${id}`);
    return page;
  }
});

/** In the page. */
async function askCodec({ url, key }: { url: string; key: string }): Promise<number | string> {
  try {
    const response = await fetch(`${url}/codec/decode`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        'x-namespace': 'default',
      },
      body: JSON.stringify({ payloads: [] }),
    });
    return response.status;
  } catch (error) {
    return (error as Error).name;
  }
}
