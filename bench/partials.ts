import { setTimeout as pause } from 'node:timers/promises';
import type { Estorno } from './estorno.js';
import { aligned, spansOf } from './figures.js';
import { now } from './load.js';

const AMOUNT_MINOR = 10;
const GROUP = 50;
const LOOK_EVERY_MS = 10;

/**
 * Refund after refund of one payment at a provider that allows many, each asked for when the one before is settled.
 * @returns lines for people.
 */
export async function measurePartials(
  estorno: Estorno,
  controlOrigin: string,
  count: number,
): Promise<readonly string[]> {
  const paymentId = await registerPayment(estorno, controlOrigin, count * AMOUNT_MINOR);
  const tookMs: { readonly post: number; readonly endToEnd: number }[] = [];
  for (let refund = 0; refund < count; refund += 1) {
    const beganAtMs = now();
    const { status, body } = await estorno.call('POST', '/v1/refunds', {
      payment_id: paymentId,
      amount: AMOUNT_MINOR,
      reason: 'requested_by_customer',
    });
    if (status !== 202) throw new Error(`refund ${refund} was answered ${status} ${JSON.stringify(body)}`);
    const post = now() - beganAtMs;
    while ((await estorno.call('GET', `/v1/refunds/${body.id}`)).body.status === 'pending') {
      await pause(LOOK_EVERY_MS);
    }
    tookMs.push({ post, endToEnd: now() - beganAtMs });
  }
  const groups = [0, count / 2 - GROUP, count - GROUP].map((from) => ({
    name: `${from + 1} to ${from + GROUP}`,
    group: tookMs.slice(from, from + GROUP),
  }));
  return aligned([
    ['refunds of one payment', 'POST p50, ms', 'end to end p50, ms', 'p99, ms'],
    ['-', '-', '-', '-'],
    ...groups.map(({ name, group }) => {
      const whole = spansOf(group.map(({ endToEnd }) => endToEnd));
      return [
        name,
        spansOf(group.map(({ post }) => post)).p50.toFixed(0),
        whole.p50.toFixed(0),
        whole.p99.toFixed(0),
      ];
    }),
  ]);
}

async function registerPayment(
  estorno: Estorno,
  controlOrigin: string,
  amountMinor: number,
): Promise<string> {
  const answer = await fetch(`${controlOrigin}/payments`, {
    method: 'POST',
    body: JSON.stringify({ provider: 'braspag', amountMinor }),
  });
  const made = (await answer.json()) as { providerPaymentId: string; currency: string; paidAt: string };
  const { status, body } = await estorno.call('POST', '/v1/payments', {
    provider: 'braspag',
    provider_payment_id: made.providerPaymentId,
    amount: amountMinor,
    currency: made.currency,
    paid_at: made.paidAt,
  });
  if (status !== 201) throw new Error(`the payment was not registered: ${status} ${JSON.stringify(body)}`);
  return body.id;
}
