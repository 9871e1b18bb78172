import { randomBytes } from 'node:crypto';
import { sumMinor, type Bank } from './bank.js';
import type { SimulatedPayment } from './book.js';
import type { ProviderSimulator, SimulatorAnswer, SimulatorRequest } from './listener.js';
import { localTime, members, minorFromReais, reais } from './wire.js';

const ACCESS_LIFETIME_MS = 300_000;
const REFRESH_LIFETIME_MS = 1_800_000;

interface Grant {
  /** The payment whose user granted it; null for one that reaches every payment. */
  readonly providerPaymentId: string | null;
  readonly expiresAtMs: number;
}

export interface PicpaySimulator extends ProviderSimulator {
  /** A user's refresh token, good for one use; bound to the user of one payment where that is given. */
  issueRefreshToken(providerPaymentId: string | null): string;
}

/** PicPay 1-Click: OAuth tokens, refunds done with their answer, and the one documented idempotency key. */
export function createPicpay(bank: Bank, keep: (name: string) => string): PicpaySimulator {
  const settings = {
    PICPAY_CLIENT_ID: keep('PICPAY_CLIENT_ID'),
    PICPAY_CLIENT_SECRET: keep('PICPAY_CLIENT_SECRET'),
  };
  const accessTokens = new Map<string, Grant>();
  const running = new Map<string, SimulatorRequest>();

  function issueRefreshToken(providerPaymentId: string | null): string {
    const token = randomBytes(24).toString('base64url');
    const grant: Grant = { providerPaymentId, expiresAtMs: Date.now() + REFRESH_LIFETIME_MS };
    bank.book.writeFact(`picpay/refresh/${token}`, grant);
    return token;
  }

  function token(request: SimulatorRequest): SimulatorAnswer {
    const body = members(request.body);
    const isForm = (request.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
    if (!isForm) return { status: 400, body: { error: 'invalid_request' } };
    if (
      body['client_id'] !== settings.PICPAY_CLIENT_ID ||
      body['client_secret'] !== settings.PICPAY_CLIENT_SECRET
    ) {
      return { status: 401, body: { error: 'invalid_client' } };
    }
    if (body['grant_type'] === 'client_credentials') return grantAccess(null, false);
    if (body['grant_type'] !== 'refresh_token') {
      return { status: 400, body: { error: 'unsupported_grant_type' } };
    }
    const name = `picpay/refresh/${String(body['refresh_token'])}`;
    const grant = bank.book.fact(name) as Grant | null | undefined;
    if (!grant || grant.expiresAtMs <= Date.now()) return { status: 400, body: { error: 'invalid_grant' } };
    bank.book.writeFact(name, null);
    return grantAccess(grant.providerPaymentId, true);
  }

  function grantAccess(providerPaymentId: string | null, rotate: boolean): SimulatorAnswer {
    const accessToken = randomBytes(24).toString('base64url');
    accessTokens.set(accessToken, { providerPaymentId, expiresAtMs: Date.now() + ACCESS_LIFETIME_MS });
    const refresh = rotate
      ? {
          refresh_token: issueRefreshToken(providerPaymentId),
          refresh_expires_in: REFRESH_LIFETIME_MS / 1000,
        }
      : {};
    return {
      status: 200,
      body: {
        access_token: accessToken,
        token_type: 'Bearer',
        expires_in: ACCESS_LIFETIME_MS / 1000,
        ...refresh,
      },
    };
  }

  function grantOf(request: SimulatorRequest): Grant | undefined {
    return accessTokens.get(/^Bearer (.+)$/i.exec(request.headers['authorization'] ?? '')?.[1] ?? '');
  }

  /** By the ids that are given, all of which must fit. Payments of another user do not exist for this token. */
  function find(
    request: SimulatorRequest,
    transactionId: unknown,
    referenceId: unknown,
  ): SimulatedPayment | undefined {
    const candidates =
      typeof transactionId === 'string'
        ? [bank.book.payment('picpay', transactionId)]
        : bank.book.payments('picpay');
    const owner = grantOf(request)?.providerPaymentId ?? null;
    return candidates.find(
      (payment) =>
        payment !== undefined &&
        (typeof referenceId !== 'string' || referenceId === payment.providerPaymentReference) &&
        (owner === null || owner === payment.providerPaymentId),
    );
  }

  function refund(request: SimulatorRequest): SimulatorAnswer {
    const key = request.headers['x-idempotency-key'];
    if (key === undefined || key === '' || key.length > 255) {
      return { status: 422, body: { message: 'The given data was invalid.' } };
    }
    const name = `picpay/key/${key}`;
    const stored = bank.book.fact(name) as SimulatorAnswer | undefined;
    if (stored) return stored;
    const first = running.get(key);
    if (first && first !== request) return { status: 208, body: { message: 'Already Reported' } };
    running.delete(key);
    const answer = decide(request);
    // Every answer that gets here is a success or a non-retryable error: both are repeated for ever.
    bank.book.writeFact(name, answer);
    return answer;
  }

  function decide(request: SimulatorRequest): SimulatorAnswer {
    const { value, transaction_id: transactionId, reference_id: referenceId } = members(request.body);
    const isId = (id: unknown): boolean => id === undefined || typeof id === 'string';
    if (!isId(transactionId) || !isId(referenceId) || (transactionId ?? referenceId) === undefined) {
      return { status: 422, body: { message: 'The given data was invalid.' } };
    }
    const payment = find(request, transactionId, referenceId);
    if (!payment) return { status: 404, body: { message: 'Transaction not found' } };
    const rest = bank.restMinor(payment);
    const amountMinor = value === undefined ? rest : minorFromReais(value);
    if (amountMinor === null) return { status: 422, body: { message: 'The given data was invalid.' } };
    if (request.refusal !== null || payment.state !== 'paid' || rest === 0) {
      return { status: 406, body: { message: 'Transaction could not be refund' } };
    }
    if (amountMinor > rest) return { status: 406, body: { message: 'Refund value is invalid.' } };
    const { createdAtMs } = bank.acceptRefund(payment, amountMinor, 'response');
    return {
      status: 200,
      body: {
        transaction_id: payment.providerPaymentId,
        reference_id: payment.providerPaymentReference,
        created_at: localTime(createdAtMs),
      },
    };
  }

  function read(request: SimulatorRequest): SimulatorAnswer {
    const transactionId = request.query.get('transaction_id');
    const referenceId = request.query.get('reference_id');
    if (transactionId === null && referenceId === null) {
      return { status: 422, body: { message: 'É necessário informar o reference_id ou transaction_id.' } };
    }
    // Of both, only reference_id counts.
    const payment = find(request, referenceId === null ? transactionId : null, referenceId);
    if (!payment) return { status: 404, body: { message: 'Transaction not found' } };
    const refunds = bank.refundsOf(payment, request.stale);
    const refundedMinor = sumMinor(refunds, ['succeeded']);
    const createdAt = localTime(payment.paidAtMs);
    const status = statusWord(payment, refundedMinor);
    return {
      status: 200,
      body: {
        id: payment.providerPaymentId,
        reference_id: payment.providerPaymentReference,
        status,
        created_at: createdAt,
        paid_at: createdAt,
        value: reais(payment.amountMinor),
        refunded_value: reais(refundedMinor),
        transactions: [
          {
            id: payment.providerPaymentId,
            value: reais(payment.amountMinor),
            status,
            created_at: createdAt,
            captured_value: reais(payment.amountMinor),
            captured_at: createdAt,
            refunds: refunds
              .filter((each) => each.status === 'succeeded')
              .map((each) => ({
                id: each.id,
                value: reais(each.amountMinor),
                created_at: localTime(each.createdAtMs),
              })),
          },
        ],
      },
    };
  }

  return {
    name: 'picpay',
    settings,
    routes: {
      PICPAY_BASE_URL: [
        { operation: 'token', method: 'POST', path: /^\/oauth2\/token$/, handle: token },
        {
          operation: 'submit',
          method: 'POST',
          path: /^\/v1\/payments\/refund$/,
          handle: refund,
          hold: (request) => void running.set(request.headers['x-idempotency-key'] ?? '', request),
        },
        { operation: 'read', method: 'GET', path: /^\/v1\/payments$/, handle: read },
      ],
    },
    authorize: (request) => ((grantOf(request)?.expiresAtMs ?? 0) > Date.now() ? null : unauthorized),
    unauthorized,
    alreadyRefunded: {
      status: 400,
      body: { business_code: 'DUPLICATED_TRANSACTION', message: 'Duplicated transaction' },
    },
    expireAccess: () => accessTokens.clear(),
    errorBody: (status) => ({
      message:
        status === 429
          ? 'API rate limit exceeded'
          : status === 408
            ? 'Request took too long to process.'
            : 'Ops! Ocorreu um erro inesperado ao processar a sua solicitação.',
    }),
    withUnknownStatus: (operation, answer) => {
      if (answer.status !== 200) return answer;
      // The refund's answer has no status word of its own: a success code that no document lists.
      if (operation === 'submit') return { ...answer, status: 202 };
      return { ...answer, body: { ...members(answer.body), status: 'UNDER_REVIEW' } };
    },
    webhook: null,
    issueRefreshToken,
  };
}

const unauthorized: SimulatorAnswer = {
  status: 401,
  body: { message: 'Invalid authentication credentials' },
};

function statusWord(payment: SimulatedPayment, refundedMinor: number): string {
  switch (payment.state) {
    case 'paid':
    case 'paid_out':
      if (refundedMinor === 0) return 'PAID';
      return refundedMinor === payment.amountMinor ? 'REFUNDED' : 'PARTIALLY_REFUNDED';
    case 'unpaid':
      return 'AUTHORIZED';
    case 'canceled':
      return 'CANCELLED';
    case 'failed':
      return 'ERROR';
  }
}
