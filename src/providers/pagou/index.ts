import { z } from 'zod';
import { concludeRead, concludeSubmit } from '../calls.js';
import type { ProviderDefinition } from '../definition.js';
import { canonicalUuid } from '../payment-id.js';
import { providerOrigin, rotatingSecret } from '../settings.js';
import { PagouClient } from './client.js';
import { paymentRead, reasonNumber, refundOutcome } from './mapping.js';
import { isSignedByPagou, webhookPaymentId } from './webhook.js';

const settings = z
  .object({
    PAGOU_BASE_URL: providerOrigin('https://api.pagou.com.br'),
    PAGOU_API_KEY: rotatingSecret,
  })
  .transform((env) => ({ origin: env.PAGOU_BASE_URL, apiKeys: env.PAGOU_API_KEY }));

export const pagou: ProviderDefinition<z.output<typeof settings>> = {
  name: 'pagou',
  title: 'Pagou',
  sendsWebhooks: true,
  capabilities: {
    idempotentSubmit: false,
    partials: 'one',
    confirmation: 'read',
    defaultMethod: 'pix',
    methods: ['pix', 'pix_withdrawal'],
    currencies: ['BRL'],
    readsUnregistered: true,
  },
  canonicalPaymentId: canonicalUuid,
  settings,
  credentials: ['PAGOU_API_KEY'],

  create({ origin, apiKeys }, deps) {
    // The API key signs the webhooks too: the older ones only check what was signed before the change.
    const client = new PagouClient(deps.createHttpClient(origin), apiKeys[0] ?? '');
    const context = { provider: pagou.name, log: deps.log };
    return {
      name: pagou.name,
      capabilities: pagou.capabilities,

      readPayment: ({ providerPaymentId }, signal) =>
        concludeRead(context, async () => {
          const answer = await client.getPix(providerPaymentId, signal);
          return paymentRead(answer, providerPaymentId, deps.nowMs());
        }),

      submitRefund: ({ payment, refundId, amountMinor, reason, description }, beforeSend) =>
        concludeSubmit(context, async () => {
          const refund = {
            id: payment.providerPaymentId,
            amountMinor,
            reason: reasonNumber(reason),
            description: description?.trim() || refundId,
          };
          return refundOutcome(await client.refundPix(refund, beforeSend), deps.nowMs());
        }),

      webhook: {
        verifyWebhook: (delivery, nowMs) => isSignedByPagou(delivery, apiKeys, nowMs),
        parseWebhook: (rawBody) => webhookPaymentId(rawBody.toString('utf8')),
      },
    };
  },
};
