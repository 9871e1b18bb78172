import { sumMinor, type Bank } from './bank.js';
import type { RefundState, SimulatedPayment } from './book.js';
import type { ProviderSimulator, SimulatorAnswer, SimulatorRequest } from './listener.js';
import { localTime, members } from './wire.js';

/** Braspag/Cielo2: the void is only scheduled, on one host; the truth is `Refunds[]` at the other, the query host. */
export function createBraspag(bank: Bank, keep: (name: string) => string): ProviderSimulator {
  const settings = {
    BRASPAG_MERCHANT_ID: keep('BRASPAG_MERCHANT_ID'),
    BRASPAG_MERCHANT_KEY: keep('BRASPAG_MERCHANT_KEY'),
    BRASPAG_WEBHOOK_SECRET: keep('BRASPAG_WEBHOOK_SECRET'),
  };

  function voidSale(request: SimulatorRequest): SimulatorAnswer {
    const payment = find(request);
    if (!payment) return errors(404, 307, 'Transaction not found');
    if (payment.state !== 'paid') return errors(400, 309, 'Transaction not available to void');
    const rest = bank.restMinor(payment);
    if (rest === 0) return errors(400, 312, 'Transaction not available to refund');
    const text = request.query.get('amount');
    const amountMinor = text === null ? rest : /^\d{1,15}$/.test(text) ? Number(text) : 0;
    if (amountMinor < 1 || amountMinor > rest) return outcome(payment, 19, 'InvalidAmount', '');
    if (request.refusal === 'insufficient_balance') {
      return outcome(payment, 2, 'InsufficientFunds', 'Merchant has insufficient balance for refund');
    }
    if (request.refusal === 'declined') return outcome(payment, 7, 'Denied', '');
    bank.acceptRefund(payment, amountMinor, 'later');
    return outcome(payment, 8, 'Scheduled', 'OPERACAO REALIZADA COM SUCESSO');
  }

  function read(request: SimulatorRequest): SimulatorAnswer {
    const payment = find(request);
    if (!payment) return { status: 404 };
    const refunds = bank.refundsOf(payment, request.stale);
    const voidedMinor = sumMinor(refunds, ['succeeded']);
    const voidedAtMs = refunds.findLast((refund) => refund.status === 'succeeded')?.settledAtMs ?? null;
    return {
      status: 200,
      body: {
        MerchantOrderId: payment.providerPaymentId.slice(0, 8),
        Payment: {
          PaymentId: payment.providerPaymentId,
          Type: 'Pix',
          Provider: 'Cielo2',
          Amount: payment.amountMinor,
          CapturedAmount: payment.amountMinor,
          Currency: payment.currency,
          Country: 'BRA',
          ReceivedDate: localTime(payment.paidAtMs),
          CapturedDate: localTime(payment.paidAtMs),
          Status: paymentStatus(payment, voidedMinor),
          ...(voidedAtMs === null ? {} : { VoidedAmount: voidedMinor, VoidedDate: localTime(voidedAtMs) }),
          ...(refunds.length === 0
            ? {}
            : {
                Refunds: refunds.map((refund) => ({
                  Amount: refund.amountMinor,
                  Status: refundStatus(refund.status),
                  ReceivedDate: localTime(refund.createdAtMs),
                })),
              }),
        },
      },
    };
  }

  function find(request: SimulatorRequest): SimulatedPayment | undefined {
    return bank.book.payment('braspag', (request.params[0] ?? '').toLowerCase());
  }

  return {
    name: 'braspag',
    settings,
    routes: {
      BRASPAG_BASE_URL: [
        { operation: 'submit', method: 'PUT', path: /^\/v2\/sales\/([^/]+)\/void$/, handle: voidSale },
      ],
      BRASPAG_QUERY_URL: [{ operation: 'read', method: 'GET', path: /^\/v2\/sales\/([^/]+)$/, handle: read }],
    },
    authorize: ({ headers }) =>
      headers['merchantid'] === settings.BRASPAG_MERCHANT_ID &&
      headers['merchantkey'] === settings.BRASPAG_MERCHANT_KEY
        ? null
        : unauthorized,
    unauthorized,
    alreadyRefunded: errors(400, 312, 'Transaction not available to refund'),
    expireAccess: () => undefined,
    errorBody: () => [{ Code: 0, Message: 'Internal error' }],
    withUnknownStatus: (operation, answer) => {
      const body = members(answer.body);
      if (operation === 'submit') return { ...answer, body: { ...body, Status: 77, ReasonCode: 77 } };
      const payment = members(body['Payment']);
      const refunds: readonly unknown[] = Array.isArray(payment['Refunds']) ? payment['Refunds'] : [];
      const strange =
        refunds.length === 0
          ? { ...payment, Status: 77 }
          : { ...payment, Refunds: [...refunds.slice(0, -1), { ...members(refunds.at(-1)), Status: 77 }] };
      return answer.body === undefined ? answer : { ...answer, body: { ...body, Payment: strange } };
    },
    webhook: (payment) => ({
      search: '',
      headers: { 'x-webhook-secret': settings.BRASPAG_WEBHOOK_SECRET },
      body: JSON.stringify({ PaymentId: payment.providerPaymentId, ChangeType: 1 }),
    }),
  };
}

const unauthorized = errors(401, 132, 'MerchantKey is invalid');

function outcome(
  payment: SimulatedPayment,
  reasonCode: number,
  reasonMessage: string,
  providerMessage: string,
): SimulatorAnswer {
  const sale = `https://simulator.invalid/v2/sales/${payment.providerPaymentId}`;
  return {
    status: 200,
    body: {
      Status: 2,
      ReasonCode: reasonCode,
      ReasonMessage: reasonMessage,
      ProviderReturnCode: reasonCode === 8 ? '0' : String(reasonCode),
      ProviderReturnMessage: providerMessage,
      Links: [
        { Method: 'GET', Rel: 'self', Href: sale },
        { Method: 'PUT', Rel: 'void', Href: `${sale}/void` },
      ],
    },
  };
}

/** A partial refund leaves 2, PaymentConfirmed; only a full one makes it 11, Refunded. */
function paymentStatus(payment: SimulatedPayment, voidedMinor: number): number {
  switch (payment.state) {
    case 'paid':
    case 'paid_out':
      return voidedMinor === payment.amountMinor ? 11 : 2;
    case 'unpaid':
      return 12;
    case 'canceled':
      return 13;
    case 'failed':
      return 0;
  }
}

function refundStatus(status: RefundState): number {
  switch (status) {
    case 'unclear':
      return 0;
    case 'pending':
      return 1;
    case 'succeeded':
      return 3;
    case 'rejected':
      return 4;
  }
}

function errors(status: number, code: number, message: string): SimulatorAnswer {
  return { status, body: [{ Code: code, Message: message }] };
}
