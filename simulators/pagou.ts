import { createHmac } from 'node:crypto';
import type { Bank } from './bank.js';
import type { PaymentState, RefundState, SimulatedPayment } from './book.js';
import type { ProviderSimulator, SimulatorAnswer, SimulatorRequest } from './listener.js';
import { endToEndId, members, minorFromReais, reais } from './wire.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Pagou: a DELETE with a body, one refund a Pix, `refund.status` 2 then 3, and a signed webhook. */
export function createPagou(bank: Bank, keep: (name: string) => string): ProviderSimulator {
  const settings = { PAGOU_API_KEY: keep('PAGOU_API_KEY') };

  function refund(request: SimulatorRequest): SimulatorAnswer {
    const id = request.params[0] ?? '';
    if (!UUID.test(id)) return refusal(400, 'id is not a valid UUID');
    const payment = bank.book.payment('pagou', id.toLowerCase());
    if (!payment) return refusal(404, 'QRCode not found');
    const { amount, reason, description } = members(request.body);
    const amountMinor = minorFromReais(amount);
    if (amountMinor === null || amountMinor > payment.amountMinor) return refusal(400, 'amount is invalid');
    if (![1, 2, 3, 4].includes(Number(reason)) || typeof reason !== 'number') {
      return refusal(400, 'reason is invalid');
    }
    if (typeof description !== 'string' || description === '' || description.length > 255) {
      return refusal(400, 'description is invalid');
    }
    if (chargeStatus(payment) !== 4) return refusal(400, 'QRCode is not in completed status');
    if (request.refusal !== null) return refusal(400, 'Refund is not allowed for this QRCode');
    bank.acceptRefund(payment, amountMinor, 'later', String(reason));
    return { status: 204 };
  }

  function read(request: SimulatorRequest): SimulatorAnswer {
    const id = request.params[0] ?? '';
    if (!UUID.test(id)) return refusal(400, 'id is not a valid UUID');
    const payment = bank.book.payment('pagou', id.toLowerCase());
    if (!payment) return refusal(404, 'QRCode not found');
    const shown = bank.refundsOf(payment, request.stale).at(-1);
    return {
      status: 200,
      body: {
        id: payment.providerPaymentId,
        amount: reais(payment.amountMinor),
        description: 'Simulated charge',
        status: chargeStatus(payment, request.stale),
        e2e_id: endToEndId(payment.providerPaymentId, payment.paidAtMs),
        paid_at: new Date(payment.paidAtMs).toISOString(),
        refund: shown
          ? { amount: reais(shown.amountMinor), external_id: shown.id, status: refundStatus(shown.status) }
          : null,
      },
    };
  }

  /** The document changes the charge to StatusRefunded with the 204, before the refund is done. */
  function chargeStatus(payment: SimulatedPayment, stale = false): number {
    return bank.refundsOf(payment, stale).length > 0 ? 5 : stateNumber(payment.state);
  }

  return {
    name: 'pagou',
    settings,
    routes: {
      PAGOU_BASE_URL: [
        { operation: 'submit', method: 'DELETE', path: /^\/v1\/pix\/([^/]+)\/refund$/, handle: refund },
        { operation: 'read', method: 'GET', path: /^\/v1\/pix\/([^/]+)$/, handle: read },
      ],
    },
    authorize: ({ headers }) => (headers['x-api-key'] === settings.PAGOU_API_KEY ? null : unauthorized),
    unauthorized,
    alreadyRefunded: refusal(400, 'QRCode is not in completed status'),
    expireAccess: () => undefined,
    errorBody: (status) => ({ error: status === 404 ? 'Not found' : 'Internal server error' }),
    withUnknownStatus: (operation, answer) => {
      if (operation === 'submit') {
        return answer.status === 204 ? { status: 202, body: { status: 'queued' } } : answer;
      }
      const body = members(answer.body);
      const strange = body['refund'] ? { refund: { ...members(body['refund']), status: 9 } } : { status: 9 };
      return answer.status === 200 ? { ...answer, body: { ...body, ...strange } } : answer;
    },
    webhook: (payment, refund) => {
      const body = JSON.stringify({
        event_name: refund ? 'qrcode.refunded' : 'qrcode.completed',
        data: {
          id: payment.providerPaymentId,
          external_id: refund?.id ?? null,
          e2e_id: endToEndId(payment.providerPaymentId, payment.paidAtMs),
          amount: reais(refund?.amountMinor ?? payment.amountMinor),
          description: 'Simulated charge',
        },
      });
      const timestamp = String(Math.floor(Date.now() / 1000));
      const signature = createHmac('sha256', settings.PAGOU_API_KEY)
        .update(timestamp + body)
        .digest('hex');
      return {
        search: '',
        headers: { 'x-pagou-timestamp': timestamp, 'x-pagou-signature': signature },
        body,
      };
    },
  };
}

const unauthorized: SimulatorAnswer = { status: 401, body: { error: 'Unauthorized' } };

function stateNumber(state: PaymentState): number {
  switch (state) {
    case 'unpaid':
      return 2;
    case 'canceled':
      return 3;
    case 'paid':
    case 'paid_out':
      return 4;
    case 'failed':
      return 6;
  }
}

/** 2 accepted, 3 completed. A failed refund has no documented number: it stays at 2. */
function refundStatus(status: RefundState): number {
  return status === 'succeeded' ? 3 : 2;
}

function refusal(status: number, error: string): SimulatorAnswer {
  return { status, body: { error } };
}
