import { randomBytes } from 'node:crypto';
import { formatDecimal } from '../src/domain/money.js';
import type { Bank } from './bank.js';
import type { PaymentState, RefundState, SimulatedPayment, SimulatedRefund } from './book.js';
import type { ProviderSimulator, SimulatorAnswer, SimulatorRequest } from './listener.js';
import { endToEndId, localTime, members, minorFromText } from './wire.js';

const ACCESS_LIFETIME_MS = 3_600_000;

/** Efí Open Finance: 202 `pendente`, later `aceito` in the payment's `devolucoes`, told by a webhook with `?hmac=`. */
export function createEfi(bank: Bank, keep: (name: string) => string): ProviderSimulator {
  const settings = {
    EFI_CLIENT_ID: keep('EFI_CLIENT_ID'),
    EFI_CLIENT_SECRET: keep('EFI_CLIENT_SECRET'),
    EFI_WEBHOOK_SECRET: keep('EFI_WEBHOOK_SECRET'),
  };
  const accessTokens = new Map<string, number>();

  function token(request: SimulatorRequest): SimulatorAnswer {
    const expected = Buffer.from(`${settings.EFI_CLIENT_ID}:${settings.EFI_CLIENT_SECRET}`).toString(
      'base64',
    );
    if (request.headers['authorization'] !== `Basic ${expected}`) return unauthorized;
    if (members(request.body)['grant_type'] !== 'client_credentials') {
      return {
        status: 400,
        body: { nome: 'grant_type_invalido', mensagem: 'O campo grant_type é inválido' },
      };
    }
    const accessToken = randomBytes(24).toString('base64url');
    accessTokens.set(accessToken, Date.now() + ACCESS_LIFETIME_MS);
    return {
      status: 200,
      body: {
        access_token: accessToken,
        token_type: 'Bearer',
        expires_in: ACCESS_LIFETIME_MS / 1000,
        scope: 'gn.opb.payment.pix.read gn.opb.payment.pix.refund',
      },
    };
  }

  function refund(request: SimulatorRequest): SimulatorAnswer {
    const { valor } = members(request.body);
    const amountMinor = /^\d{1,10}\.\d{2}$/.test(String(valor)) ? minorFromText(valor) : null;
    if (amountMinor === null) {
      return refusal(400, 'valor_devolucao_invalido', 'O valor de devolução inválido');
    }
    const payment = bank.book.payment('efi', request.params[0] ?? '');
    if (!payment) {
      return refusal(422, 'identificador_pagamento_invalido', 'O identificador de pagamento é inválido');
    }
    if (payment.state !== 'paid' || request.refusal === 'declined') {
      const message = 'O status do pagamento é invalido para devolução';
      return refusal(422, 'status_pagamento_invalido_para_devolucao', message);
    }
    if (amountMinor > bank.restMinor(payment)) {
      const message = 'O valor da devolução ultrapassou o valor recebido';
      return refusal(422, 'saldo_devolucao_insuficiente', message);
    }
    if (request.refusal === 'insufficient_balance') {
      return refusal(
        422,
        'saldo_insuficiente',
        'O saldo em conta é insuficiente para efetuar esta transação',
      );
    }
    const { createdAtMs } = bank.acceptRefund(payment, amountMinor, 'later');
    return {
      status: 202,
      body: {
        identificadorPagamento: payment.providerPaymentId,
        valorDevolucao: formatDecimal(amountMinor),
        dataCriacao: localTime(createdAtMs),
        status: 'pendente',
      },
    };
  }

  function list(request: SimulatorRequest): SimulatorAnswer {
    const wanted = request.query.get('identificador');
    const from = dayMs(request.query.get('inicio'));
    const to = dayMs(request.query.get('fim'));
    if (wanted === null && (from === null || to === null)) {
      return refusal(400, 'periodo_invalido', 'Os campos inicio e fim são obrigatórios');
    }
    // With `identificador` every other filter is ignored.
    const one = wanted === null ? undefined : bank.book.payment('efi', wanted);
    const matching =
      wanted === null
        ? bank.book
            .payments('efi')
            .filter(({ paidAtMs }) => paidAtMs >= (from ?? 0) && paidAtMs < (to ?? 0) + 86_400_000)
        : one
          ? [one]
          : [];
    if (matching.length === 0) {
      return refusal(404, 'pagamento_nao_encontrado', 'O pagamento não foi encontrado');
    }
    const perPage = wanted === null ? Math.max(1, Number(request.query.get('quantidade') ?? 20)) : 20;
    const page = wanted === null ? Math.max(1, Number(request.query.get('pagina') ?? 1)) : 1;
    const last = Math.max(1, Math.ceil(matching.length / perPage));
    return {
      status: 200,
      body: {
        pagamentos: matching
          .slice((page - 1) * perPage, page * perPage)
          .map((payment) => show(payment, bank.refundsOf(payment, request.stale))),
        total: matching.length,
        porPagina: perPage,
        ultimo: String(last),
        proximo: page < last ? String(page + 1) : null,
        anterior: page > 1 ? String(page - 1) : null,
        atual: String(page),
      },
    };
  }

  return {
    name: 'efi',
    settings,
    routes: {
      EFI_BASE_URL: [
        { operation: 'token', method: 'POST', path: /^\/v1\/oauth\/token$/, handle: token },
        {
          operation: 'submit',
          method: 'POST',
          path: /^\/v1\/pagamentos\/pix\/([^/]+)\/devolver$/,
          handle: refund,
        },
        { operation: 'read', method: 'GET', path: /^\/v1\/pagamentos\/pix$/, handle: list },
      ],
    },
    authorize: (request) => {
      const accessToken = /^Bearer (.+)$/i.exec(request.headers['authorization'] ?? '')?.[1] ?? '';
      return (accessTokens.get(accessToken) ?? 0) > Date.now() ? null : unauthorized;
    },
    unauthorized,
    alreadyRefunded: refusal(
      422,
      'saldo_devolucao_insuficiente',
      'O valor da devolução ultrapassou o valor recebido',
    ),
    expireAccess: () => accessTokens.clear(),
    errorBody: () => ({ nome: 'erro_aplicacao', mensagem: 'Erro interno do servidor' }),
    withUnknownStatus: (operation, answer) => {
      const body = members(answer.body);
      if (operation === 'submit') return { ...answer, body: { ...body, status: 'em_analise' } };
      const payments = Array.isArray(body['pagamentos'])
        ? body['pagamentos'].map(withUnknownWord)
        : undefined;
      return { ...answer, body: payments ? { ...body, pagamentos: payments } : body };
    },
    webhook: (payment, refund) => ({
      search: `?hmac=${encodeURIComponent(settings.EFI_WEBHOOK_SECRET)}`,
      headers: {},
      body: JSON.stringify({
        identificadorPagamento: payment.providerPaymentId,
        ...(refund ? { identificadorDevolucao: refund.id } : {}),
        endToEndId: endToEndId(payment.providerPaymentId, payment.paidAtMs),
        idProprio: null,
        valor: formatDecimal(refund?.amountMinor ?? payment.amountMinor),
        status: refund ? refundWord(refund.status) : paymentWord(payment.state),
        dataCriacao: new Date(refund?.createdAtMs ?? payment.paidAtMs).toISOString(),
        tipo: refund ? 'devolucao' : 'pagamento',
      }),
    }),
  };
}

const unauthorized: SimulatorAnswer = {
  status: 401,
  body: { nome: 'nao_autorizado', mensagem: 'Credenciais inválidas ou inativas' },
};

function show(payment: SimulatedPayment, refunds: readonly SimulatedRefund[]): Record<string, unknown> {
  const paid = payment.state === 'paid' || payment.state === 'paid_out';
  return {
    identificadorPagamento: payment.providerPaymentId,
    // Both may be missing unless the payment is accepted.
    ...(paid
      ? {
          endToEndId: endToEndId(payment.providerPaymentId, payment.paidAtMs),
          valor: formatDecimal(payment.amountMinor),
        }
      : {}),
    status: paymentWord(payment.state),
    dataCriacao: new Date(payment.paidAtMs).toISOString(),
    ...(refunds.length === 0
      ? {}
      : {
          devolucoes: refunds.map((refund) => ({
            identificadorDevolucao: refund.id,
            valor: formatDecimal(refund.amountMinor),
            status: refundWord(refund.status),
            dataCriacao: new Date(refund.createdAtMs).toISOString(),
          })),
        }),
  };
}

function refundWord(status: RefundState): string {
  switch (status) {
    case 'pending':
    case 'unclear':
      return 'pendente';
    case 'succeeded':
      return 'aceito';
    case 'rejected':
      return 'rejeitado';
  }
}

function paymentWord(state: PaymentState): string {
  switch (state) {
    case 'paid':
    case 'paid_out':
      return 'aceito';
    case 'unpaid':
      return 'pendente';
    case 'canceled':
      return 'expirado';
    case 'failed':
      return 'rejeitado';
  }
}

/** The newest refund, or the payment where it has none, in a word that is not listed. */
function withUnknownWord(payment: unknown): Record<string, unknown> {
  const shown = members(payment);
  const refunds: readonly unknown[] = Array.isArray(shown['devolucoes']) ? shown['devolucoes'] : [];
  if (refunds.length === 0) return { ...shown, status: 'em_analise' };
  const newest = { ...members(refunds.at(-1)), status: 'em_analise' };
  return { ...shown, devolucoes: [...refunds.slice(0, -1), newest] };
}

function refusal(status: number, nome: string, mensagem: string): SimulatorAnswer {
  return { status, body: { nome, mensagem } };
}

function dayMs(text: string | null): number | null {
  const atMs = text !== null && /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN;
  return Number.isFinite(atMs) ? atMs : null;
}
