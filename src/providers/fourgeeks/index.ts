import { z } from 'zod';
import { concludeRead, concludeSubmit } from '../calls.js';
import type { ProviderDefinition } from '../definition.js';
import { credential, providerOrigin } from '../settings.js';
import { FourGeeksClient } from './client.js';
import { canonicalChargeId, reasonWord, refundOutcome } from './mapping.js';
import { readCharge } from './reading.js';

const settings = z
  .object({
    FOURGEEKS_BASE_URL: providerOrigin('https://api.4geeks.io'),
    FOURGEEKS_SECRET_KEY: credential,
  })
  .transform((env) => ({ origin: env.FOURGEEKS_BASE_URL, secretKey: env.FOURGEEKS_SECRET_KEY }));

export const fourgeeks: ProviderDefinition<z.output<typeof settings>> = {
  name: 'fourgeeks',
  title: '4Geeks',
  sendsWebhooks: false,
  capabilities: {
    idempotentSubmit: false,
    partials: 'many',
    confirmation: 'response',
    defaultMethod: 'card',
    methods: ['card'],
    currencies: null,
    readsUnregistered: true,
  },
  canonicalPaymentId: canonicalChargeId,
  settings,
  credentials: ['FOURGEEKS_SECRET_KEY'],

  create({ origin, secretKey }, deps) {
    const client = new FourGeeksClient(deps.createHttpClient(origin), secretKey);
    const context = { provider: fourgeeks.name, log: deps.log };
    return {
      name: fourgeeks.name,
      capabilities: fourgeeks.capabilities,
      webhook: null,

      readPayment: ({ providerPaymentId }, signal) =>
        concludeRead(context, () => readCharge(client, providerPaymentId, signal, deps.nowMs)),

      submitRefund: ({ payment, amountMinor, reason }, beforeSend) =>
        concludeSubmit(context, async () => {
          const asked = { chargeId: payment.providerPaymentId, amountMinor };
          const answer = await client.createRefund({ ...asked, reason: reasonWord(reason) }, beforeSend);
          return refundOutcome(answer, asked, deps.nowMs());
        }),
    };
  },
};
