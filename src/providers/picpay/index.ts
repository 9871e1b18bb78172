import { z } from 'zod';
import { concludeRead, concludeSubmit } from '../calls.js';
import type { ProviderDefinition } from '../definition.js';
import { readWithoutToken, sendAuthorized, submitWithoutToken } from '../oauth2.js';
import { canonicalId } from '../payment-id.js';
import { credential, providerOrigin } from '../settings.js';
import { PicPayClient } from './client.js';
import { paymentRead, refundOutcome } from './mapping.js';
import { createPicPayTokens } from './tokens.js';

const settings = z
  .object({
    PICPAY_BASE_URL: providerOrigin('https://api.picpay.com'),
    PICPAY_CLIENT_ID: credential,
    PICPAY_CLIENT_SECRET: credential,
    PICPAY_REFRESH_TOKEN: credential.optional(),
  })
  .transform((env) => ({
    origin: env.PICPAY_BASE_URL,
    clientId: env.PICPAY_CLIENT_ID,
    clientSecret: env.PICPAY_CLIENT_SECRET,
    refreshToken: env.PICPAY_REFRESH_TOKEN ?? null,
  }));

export const picpay: ProviderDefinition<z.output<typeof settings>> = {
  name: 'picpay',
  title: 'PicPay',
  sendsWebhooks: false,
  capabilities: {
    idempotentSubmit: true,
    partials: 'many',
    confirmation: 'response',
    defaultMethod: 'wallet',
    methods: ['wallet', 'card'],
    currencies: ['BRL'],
    readsUnregistered: true,
  },
  canonicalPaymentId: canonicalId,
  settings,
  credentials: ['PICPAY_CLIENT_ID', 'PICPAY_CLIENT_SECRET'],

  create({ origin, ...credentials }, deps) {
    const client = new PicPayClient(deps.createHttpClient(origin));
    const tokensOf = createPicPayTokens(client, credentials, deps);
    const context = { provider: picpay.name, log: deps.log };
    return {
      name: picpay.name,
      capabilities: picpay.capabilities,
      webhook: null,

      readPayment: (payment, signal) =>
        concludeRead(context, async () => {
          const tokens = tokensOf(payment);
          const sent = await sendAuthorized(tokens, (token) => client.getPayment(token, payment, signal));
          if (sent.kind !== 'answer') return readWithoutToken(sent);
          const read = paymentRead(sent.answer, payment, deps.nowMs());
          // What another's token does not reach may well be there.
          const refusal = read.kind === 'notFound' ? tokens.ownRefusal() : null;
          return refusal ? readWithoutToken(refusal) : read;
        }),

      submitRefund: (request, beforeSend) =>
        concludeSubmit(context, async () => {
          // The key makes a repeat after a 401 the same refund.
          const sent = await sendAuthorized(tokensOf(request.payment), (token) =>
            client.refund(token, request, beforeSend),
          );
          return sent.kind === 'answer' ? refundOutcome(sent.answer, deps.nowMs()) : submitWithoutToken(sent);
        }),
    };
  },
};
