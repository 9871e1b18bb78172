import { z } from 'zod';
import { concludeRead, concludeSubmit } from '../calls.js';
import type { ProviderDefinition } from '../definition.js';
import {
  readWithoutToken,
  requestToken,
  sendAuthorized,
  submitWithoutToken,
  TokenHolder,
} from '../oauth2.js';
import { credential, providerOrigin, rotatingSecret } from '../settings.js';
import { matchesSecret } from '../webhook-secret.js';
import { readCertificate } from './certificate.js';
import { EfiClient } from './client.js';
import { canonicalUrn, paymentRead, refundOutcome, webhookPaymentId } from './mapping.js';

const settings = z
  .object({
    EFI_BASE_URL: providerOrigin('https://openfinance.api.efipay.com.br'),
    EFI_CLIENT_ID: credential,
    EFI_CLIENT_SECRET: credential,
    EFI_CERTIFICATE_FILE: z.string().optional(),
    EFI_CERTIFICATE_PASSPHRASE: z.string().optional(),
    EFI_WEBHOOK_SECRET: rotatingSecret.optional(),
  })
  .transform((env, context) => ({
    origin: env.EFI_BASE_URL,
    clientId: env.EFI_CLIENT_ID,
    clientSecret: env.EFI_CLIENT_SECRET,
    certificate: certificateOf(env, context),
    webhookSecrets: env.EFI_WEBHOOK_SECRET ?? [],
  }));

export const efi: ProviderDefinition<z.output<typeof settings>> = {
  name: 'efi',
  title: 'Efí',
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
  canonicalPaymentId: canonicalUrn,
  settings,
  credentials: ['EFI_CLIENT_ID', 'EFI_CLIENT_SECRET'],

  create({ origin, certificate, webhookSecrets, ...app }, deps) {
    const client = new EfiClient(deps.createHttpClient(origin, certificate), app);
    const tokens = new TokenHolder(
      async () => (await requestToken(() => client.requestToken(), deps.nowMs)).token,
      deps.nowMs,
    );
    const context = { provider: efi.name, log: deps.log };
    return {
      name: efi.name,
      capabilities: efi.capabilities,

      readPayment: (payment, signal) =>
        concludeRead(context, async () => {
          const sent = await sendAuthorized(tokens, (token) =>
            client.listPayments(token, payment, deps.nowMs(), signal),
          );
          if (sent.kind !== 'answer') return readWithoutToken(sent);
          return paymentRead(sent.answer, payment.providerPaymentId, deps.nowMs());
        }),

      submitRefund: (request, beforeSend) =>
        concludeSubmit(context, async () => {
          const token = await tokens.get();
          if (token.kind !== 'token') return submitWithoutToken(token);
          const answer = await client.devolver(token.accessToken, request, beforeSend);
          if (answer.status === 401 || answer.status === 403) tokens.invalidate(token.accessToken);
          return refundOutcome(answer, deps.nowMs());
        }),

      webhook: {
        verifyWebhook: ({ query }) => matchesSecret(query.hmac, webhookSecrets),
        parseWebhook: (rawBody) => webhookPaymentId(rawBody.toString('utf8')),
      },
    };
  },
};

interface CertificateSettings {
  readonly EFI_BASE_URL: string;
  readonly EFI_CERTIFICATE_FILE?: string | undefined;
  readonly EFI_CERTIFICATE_PASSPHRASE?: string | undefined;
}

function certificateOf(env: CertificateSettings, context: z.RefinementCtx) {
  const { EFI_BASE_URL: origin, EFI_CERTIFICATE_FILE: file, EFI_CERTIFICATE_PASSPHRASE: passphrase } = env;
  const problem = (message: string) => {
    context.addIssue({ code: 'custom', path: ['EFI_CERTIFICATE_FILE'], message });
    return undefined;
  };
  if (file === undefined) {
    return origin.startsWith('https:')
      ? problem('is missing: Efí wants a client certificate on every call')
      : undefined;
  }
  try {
    return readCertificate(file, passphrase);
  } catch (error) {
    return problem(error instanceof Error ? error.message : 'cannot be used');
  }
}
