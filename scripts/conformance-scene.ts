import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SimulatedProvider } from '../simulators/book.js';
import { controlAt } from '../lab/control.js';
import type { Site } from '../lab/site.js';

const PROVIDERS: readonly SimulatedProvider[] = ['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'];
const PAYMENTS_EACH = 12;
const PAID_MINOR = 100_000;
const APPROVED_FROM_MINOR = 90_000;
/** Of the first payments of each provider; most of them wait for people. */
const REFUNDS_MINOR = [1_050, 90_000, 90_000, 90_000, 90_000, 90_000];
const ENDPOINTS = 6;
const DAY_MS = 86_400_000;
/** Later than an approval ends by itself, and within the shortest window. */
const DAYS_AHEAD = [8, 9, 12, 20];

/** People have all the time that the run takes. */
export async function policyFor(folder: string): Promise<string> {
  const file = join(folder, 'patient-policy.json');
  const rules = [{ when: { amount_gte: APPROVED_FROM_MINOR }, approvals: 1 }];
  await writeFile(file, JSON.stringify({ approval: { rules } }));
  return file;
}

interface Made {
  readonly id: string;
  readonly approval?: { readonly content_hash: string } | null;
}

/** Makes one of everything, so that there are ids to ask for, and writes them down for schemathesis. */
export async function furnish(site: Site, key: string, folder: string): Promise<void> {
  const ask = askerOf(site, key);
  const payments: Made[] = [];
  const refunds: Made[] = [];
  const furnishProvider = async (provider: SimulatedProvider): Promise<void> => {
    for (let number = 0; number < PAYMENTS_EACH; number += 1) {
      const payment = await registerPayment(site, ask, provider);
      payments.push(payment);
      const amount = REFUNDS_MINOR[number];
      if (amount === undefined) continue;
      const body = { payment_id: payment.id, amount, reason: 'duplicate' };
      // Not by the one who votes.
      refunds.push(await askerOf(site, site.keys.requester)('/v1/refunds', body));
    }
  };
  await Promise.all(PROVIDERS.map(furnishProvider));
  const reconciliation = await ask('/v1/reconciliations', {});
  const endpoints: Made[] = [];
  const deliveries: Made[] = [];
  for (let number = 0; number < ENDPOINTS; number += 1) {
    const endpoint = await ask('/v1/webhook-endpoints', { url: `${site.controlOrigin}/nobody` });
    endpoints.push(endpoint);
    deliveries.push(await ask(`/v1/webhook-endpoints/${endpoint.id}/ping`, {}));
  }
  const hashes = refunds.map(({ id, approval }) => [id, approval?.content_hash]);
  await writeFile(join(folder, 'hashes.json'), JSON.stringify(Object.fromEntries(hashes)));
  const ids = (made: readonly Made[]): string[] => made.map(({ id }) => id);
  await writeDictionaries(folder, {
    payments: ids(payments),
    refunds: ids(refunds),
    reconciliations: [reconciliation.id],
    endpoints: ids(endpoints),
    deliveries: ids(deliveries),
    expiries: DAYS_AHEAD.map((days) => new Date(Date.now() + days * DAY_MS).toISOString()),
    efi: [site.settings['EFI_WEBHOOK_SECRET'] ?? ''],
  });
}

type Asker = (path: string, body: object) => Promise<Made>;

function askerOf({ apiOrigins: [origin] }: Site, key: string): Asker {
  return async (path, body) => {
    const answer = await fetch(`${origin}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        'idempotency-key': randomUUID(),
      },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`POST ${path} answered ${answer.status}: ${text}`);
    return JSON.parse(text) as Made;
  };
}

async function registerPayment(site: Site, ask: Asker, provider: SimulatedProvider): Promise<Made> {
  const created = await controlAt(site.controlOrigin).createPayment(provider, PAID_MINOR);
  return ask('/v1/payments', {
    provider,
    provider_payment_id: created.providerPaymentId,
    amount: created.amountMinor,
    currency: created.currency,
    method: created.method,
    paid_at: created.paidAt,
    provider_payment_reference: created.providerPaymentReference,
    provider_credentials: created.refreshToken && { refresh_token: created.refreshToken },
  });
}

/** In the form of libFuzzer, which schemathesis reads. */
async function writeDictionaries(
  folder: string,
  words: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  for (const [name, values] of Object.entries(words)) {
    await writeFile(
      join(folder, `${name}.dict`),
      values.map((value) => `${JSON.stringify(value)}\n`).join(''),
    );
  }
}
