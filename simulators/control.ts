import { z } from 'zod';
import { PAYMENT_METHODS, PAYMENT_STATES, REFUND_STATES, SIMULATED_PROVIDERS } from './book.js';
import { faultSchema } from './faults.js';
import { Listener, readBody, send, type SimulatorAnswer } from './listener.js';
import type { Simulators } from './start.js';

const provider = z.enum(SIMULATED_PROVIDERS);
const onPayment = { provider, providerPaymentId: z.string() };
const newPayment = z.strictObject({
  provider,
  amountMinor: z.int().min(1),
  currency: z.string().optional(),
  paidAt: z.iso.datetime({ offset: true }).optional(),
  method: z.enum(PAYMENT_METHODS).optional(),
  status: z.enum(PAYMENT_STATES).optional(),
});
const newFault = z.strictObject({ provider, fault: faultSchema });
const newPanelRefund = z.strictObject({ ...onPayment, amountMinor: z.int().min(1) });
const newRefundStatus = z.strictObject({ ...onPayment, refundId: z.string(), status: z.enum(REFUND_STATES) });
const newTarget = z.strictObject({ url: z.url().nullable() });
const newWebhook = z.strictObject({ ...onPayment, times: z.int().min(1).max(1000).optional() });
const selection = z.object({
  provider: provider.optional(),
  providerPaymentId: z.string().optional(),
  operation: z.enum(['submit', 'read', 'token', 'webhook', 'other']).optional(),
  /** Only those that a fault struck. */
  struck: z.literal('true').optional(),
});

/** What `Simulators` offers in-process, over HTTP on loopback, so that the child process can be driven by curl. */
export async function startControl(simulators: Simulators, port = 0): Promise<Listener> {
  return Listener.open(port, async (incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', 'http://control');
    const text = await readBody(incoming);
    try {
      const call = `${incoming.method} ${url.pathname}`;
      const body: unknown = text === '' ? {} : JSON.parse(text);
      send(outgoing, await answer(simulators, call, body, Object.fromEntries(url.searchParams)));
    } catch (error) {
      send(outgoing, {
        status: 400,
        body: { error: error instanceof Error ? error.message : String(error) },
      });
    }
  });
}

async function answer(
  simulators: Simulators,
  call: string,
  body: unknown,
  query: Record<string, string>,
): Promise<SimulatorAnswer> {
  switch (call) {
    case 'POST /payments': {
      const { provider, ...wanted } = newPayment.parse(body);
      return { status: 201, body: simulators.createPayment(provider, wanted) };
    }
    case 'GET /books': {
      const { provider, providerPaymentId } = selection.parse(query);
      const mine = (each: { readonly providerPaymentId: string }): boolean =>
        providerPaymentId === undefined || each.providerPaymentId === providerPaymentId;
      return {
        status: 200,
        body: {
          payments: simulators.payments(provider).filter(mine),
          refunds: simulators.refunds(provider).filter(mine),
        },
      };
    }
    case 'GET /calls': {
      const { provider, operation, struck } = selection.parse(query);
      const of = provider === undefined ? SIMULATED_PROVIDERS : [provider];
      const calls = of.flatMap((each) => simulators.callsOf(each, operation));
      return { status: 200, body: { calls: struck ? calls.filter(({ fault }) => fault) : calls } };
    }
    case 'POST /faults': {
      const { provider, fault } = newFault.parse(body);
      await simulators.inject(provider, fault);
      return { status: 204 };
    }
    case 'DELETE /faults':
      await simulators.clearFaults(selection.parse(query).provider);
      return { status: 204 };
    case 'POST /panel-refunds': {
      const { provider, providerPaymentId, amountMinor } = newPanelRefund.parse(body);
      return { status: 201, body: simulators.addPanelRefund(provider, providerPaymentId, amountMinor) };
    }
    case 'POST /refund-status': {
      const { provider, providerPaymentId, refundId, status } = newRefundStatus.parse(body);
      return {
        status: 200,
        body: simulators.setRefundStatus(provider, providerPaymentId, refundId, status),
      };
    }
    case 'POST /webhook-target':
      simulators.setWebhookTarget(newTarget.parse(body).url);
      return { status: 204 };
    case 'POST /webhooks': {
      const { provider, providerPaymentId, times } = newWebhook.parse(body);
      return {
        status: 200,
        body: { statuses: await simulators.sendWebhook(provider, providerPaymentId, { times }) },
      };
    }
    default:
      return { status: 404, body: { error: `no ${call}` } };
  }
}
