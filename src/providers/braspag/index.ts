import { z } from 'zod';
import { concludeRead, concludeSubmit } from '../calls.js';
import type { ProviderDefinition } from '../definition.js';
import { canonicalUuid } from '../payment-id.js';
import { credential, providerOrigin, rotatingSecret } from '../settings.js';
import { matchesSecret } from '../webhook-secret.js';
import { BraspagClient } from './client.js';
import { paymentRead, refundOutcome, webhookPaymentId } from './mapping.js';

const settings = z
  .object({
    BRASPAG_BASE_URL: providerOrigin('https://api.braspag.com.br'),
    BRASPAG_QUERY_URL: providerOrigin('https://apiquery.braspag.com.br'),
    BRASPAG_MERCHANT_ID: credential,
    BRASPAG_MERCHANT_KEY: credential,
    BRASPAG_WEBHOOK_SECRET: rotatingSecret.optional(),
  })
  .transform((env) => ({
    origin: env.BRASPAG_BASE_URL,
    queryOrigin: env.BRASPAG_QUERY_URL,
    merchantId: env.BRASPAG_MERCHANT_ID,
    merchantKey: env.BRASPAG_MERCHANT_KEY,
    webhookSecrets: env.BRASPAG_WEBHOOK_SECRET ?? [],
  }));

export const braspag: ProviderDefinition<z.output<typeof settings>> = {
  name: 'braspag',
  title: 'Braspag',
  sendsWebhooks: true,
  capabilities: {
    idempotentSubmit: false,
    partials: 'many',
    confirmation: 'read',
    defaultMethod: 'pix',
    methods: ['pix', 'pix_withdrawal'],
    currencies: ['BRL'],
    readsUnregistered: true,
  },
  canonicalPaymentId: canonicalUuid,
  settings,
  credentials: ['BRASPAG_MERCHANT_ID', 'BRASPAG_MERCHANT_KEY'],

  create({ origin, queryOrigin, webhookSecrets, ...merchant }, deps) {
    const hosts = { api: deps.createHttpClient(origin), query: deps.createHttpClient(queryOrigin) };
    const client = new BraspagClient(hosts, merchant);
    const context = { provider: braspag.name, log: deps.log };
    return {
      name: braspag.name,
      capabilities: braspag.capabilities,

      readPayment: ({ providerPaymentId }, signal) =>
        concludeRead(context, async () => {
          const answer = await client.getSale(providerPaymentId, signal);
          return paymentRead(answer, providerPaymentId, deps.nowMs());
        }),

      submitRefund: ({ payment, amountMinor }, beforeSend) =>
        concludeSubmit(context, async () => {
          const answer = await client.voidSale(payment.providerPaymentId, amountMinor, beforeSend);
          return refundOutcome(answer, deps.nowMs());
        }),

      webhook: {
        verifyWebhook: ({ headers }) => matchesSecret(headers['x-webhook-secret'], webhookSecrets),
        parseWebhook: (rawBody) => webhookPaymentId(rawBody.toString('utf8')),
      },
    };
  },
};
