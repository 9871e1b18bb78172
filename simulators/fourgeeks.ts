import { createHash } from 'node:crypto';
import { formatDecimal } from '../src/domain/money.js';
import { sumMinor, type Bank } from './bank.js';
import type { PaymentState, SimulatedPayment, SimulatedRefund } from './book.js';
import type { ProviderSimulator, SimulatorAnswer, SimulatorRequest } from './listener.js';
import { members, minorFromReais, minorFromText } from './wire.js';

const REASONS: readonly unknown[] = ['duplicate', 'fraudulent', 'requested_by_customer'];

/** 4Geeks: done with the answer, trailing slashes, decimal texts, a bare array; a charge shows what is left of it. */
export function createFourgeeks(bank: Bank, keep: (name: string) => string): ProviderSimulator {
  const settings = { FOURGEEKS_SECRET_KEY: keep('FOURGEEKS_SECRET_KEY') };

  function create(request: SimulatorRequest): SimulatorAnswer {
    const { charge_id: chargeId, amount, reason } = members(request.body);
    const payment = typeof chargeId === 'string' ? bank.book.payment('fourgeeks', chargeId) : undefined;
    if (!payment || payment.state === 'unpaid' || payment.state === 'failed') {
      return refundError("Charge object doesn't exist.");
    }
    if (!REASONS.includes(reason)) return refundError('reason field is required');
    if (payment.state === 'paid_out' || request.refusal !== null) {
      const content = 'The charge requested is already paid to your account.';
      return { status: 409, body: { code: 400, title: 'Charge status error', content, type: 'danger' } };
    }
    const rest = bank.restMinor(payment);
    if (rest === 0 || payment.state === 'canceled') {
      return refundError('Charge requested is already refunded');
    }
    const amountMinor = amount === undefined ? rest : (minorFromReais(amount) ?? minorFromText(amount));
    if (amountMinor === null || amountMinor > rest) {
      return refundError('The amount provided is greater than the amount of the payment.');
    }
    return {
      status: 201,
      body: show(payment, bank.acceptRefund(payment, amountMinor, 'response', String(reason))),
    };
  }

  /** Newest first; a stale read lacks each payment's newest. */
  function shown(payments: readonly SimulatedPayment[], stale: boolean): Record<string, unknown>[] {
    return payments
      .flatMap((payment) => bank.refundsOf(payment, stale).map((refund) => ({ payment, refund })))
      .filter(({ refund }) => refund.status === 'succeeded')
      .sort((left, right) => right.refund.createdAtMs - left.refund.createdAtMs)
      .map(({ payment, refund }) => show(payment, refund));
  }

  function list(request: SimulatorRequest): SimulatorAnswer {
    const chargeId = request.query.get('charge_id');
    const test = request.query.get('test');
    const charge = chargeId === null ? undefined : bank.book.payment('fourgeeks', chargeId);
    const charges = chargeId === null ? bank.book.payments('fourgeeks') : charge ? [charge] : [];
    // Every simulated charge is in test mode.
    const wanted = test === null || test.toLowerCase() === 'true';
    return { status: 200, body: wanted ? shown(charges, request.stale) : [] };
  }

  function getRefund(request: SimulatorRequest): SimulatorAnswer {
    const refund = shown(bank.book.payments('fourgeeks'), request.stale).find(
      (each) => each['id'] === request.params[0],
    );
    return refund ? { status: 200, body: refund } : notFound;
  }

  function getPayment(request: SimulatorRequest): SimulatorAnswer {
    const payment = bank.book.payment('fourgeeks', request.params[0] ?? '');
    if (!payment) return notFound;
    const refundedMinor = sumMinor(bank.refundsOf(payment, request.stale), ['succeeded']);
    return {
      status: 200,
      body: {
        id: payment.providerPaymentId,
        amount: formatDecimal(payment.amountMinor - refundedMinor),
        currency: payment.currency.toLowerCase(),
        status: chargeWord(payment.state),
        test: true,
        created_at: seconds(payment.paidAtMs),
      },
    };
  }

  return {
    name: 'fourgeeks',
    settings,
    routes: {
      FOURGEEKS_BASE_URL: [
        { operation: 'submit', method: 'POST', path: /^\/v1\/refunds\/$/, handle: create },
        { operation: 'read', method: 'GET', path: /^\/v1\/refunds\/$/, handle: list },
        { operation: 'read', method: 'GET', path: /^\/v1\/refunds\/([^/]+)\/$/, handle: getRefund },
        { operation: 'read', method: 'GET', path: /^\/v1\/payments\/([^/]+)\/?$/, handle: getPayment },
      ],
    },
    authorize: ({ headers }) => {
      const expected = Buffer.from(`${settings.FOURGEEKS_SECRET_KEY}:`).toString('base64');
      return headers['authorization'] === `Basic ${expected}` ? null : unauthorized;
    },
    unauthorized,
    alreadyRefunded: refundError('Charge requested is already refunded'),
    expireAccess: () => undefined,
    errorBody: (status) => ({
      code: status,
      title: 'Error',
      content: 'The request could not be served.',
      type: 'danger',
    }),
    withUnknownStatus: (_operation, answer) => ({
      ...answer,
      body: Array.isArray(answer.body) ? answer.body.map(withUnknownWord) : withUnknownWord(answer.body),
    }),
    webhook: null,
  };
}

const unauthorized: SimulatorAnswer = {
  status: 401,
  body: { code: 401, title: 'Unauthorized', content: 'Invalid API key.', type: 'danger' },
};

const notFound: SimulatorAnswer = {
  status: 404,
  body: { code: 404, title: 'Not found', content: "Charge object doesn't exist.", type: 'danger' },
};

function show(payment: SimulatedPayment, refund: SimulatedRefund): Record<string, unknown> {
  return {
    id: refund.id,
    provider_refund_id: `re_${createHash('sha256').update(refund.id).digest('hex').slice(0, 14).toUpperCase()}`,
    charge_id: payment.providerPaymentId,
    amount: formatDecimal(refund.amountMinor),
    currency: payment.currency.toLowerCase(),
    reason: refund.reason ?? 'requested_by_customer',
    status: 'succeeded',
    test: true,
    created_at: seconds(refund.createdAtMs),
  };
}

function chargeWord(state: PaymentState): string {
  switch (state) {
    case 'paid':
    case 'paid_out':
      return 'succeeded';
    case 'unpaid':
      return 'processing';
    case 'canceled':
      return 'cancelled';
    case 'failed':
      return 'failed';
  }
}

function withUnknownWord(shown: unknown): unknown {
  const fields = members(shown);
  return 'status' in fields ? { ...fields, status: 'in_review' } : shown;
}

function refundError(content: string): SimulatorAnswer {
  return { status: 400, body: { code: 400, title: 'Refund error', content, type: 'danger' } };
}

function seconds(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}
