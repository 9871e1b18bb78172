import { z } from 'zod';
import type {
  PaymentRead,
  PaymentSnapshot,
  ProviderRefundStatus,
  SubmitOutcome,
} from '../../domain/provider.js';
import {
  declined,
  httpError,
  isClientError,
  isSuccess,
  isUndecided,
  notNow,
  providerError,
  readRefusal,
  retryAfter,
  unknown,
  unreadable,
  refusesCredentials,
} from '../answers.js';
import type { HttpAnswer } from '../http.js';
import { parseInstant } from '../instants.js';
import { integerCode, majorText, parseJson, readJson, word } from '../json.js';
import { canonicalId } from '../payment-id.js';

/** `urn:efi:<uuid>`: decoded where it came percent-encoded, the UUID in lower case. */
export function canonicalUrn(id: string): string | null {
  const urn = canonicalId(decoded(id));
  return urn !== null && /^urn:[a-z0-9-]+:[0-9a-f-]{36}$/i.test(urn) ? urn.toLowerCase() : urn;
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

/** POST /v1/pagamentos/pix/:identificadorPagamento/devolver. Errors are told by `nome` alone. */
export function refundOutcome(answer: HttpAnswer, nowMs: number): SubmitOutcome {
  const { status } = answer;
  if (isSuccess(status)) return requested(answer);
  const { nome, mensagem } = errorBody(answer.body);
  const error = nome === '' ? httpError(answer, mensagem) : providerError(nome, mensagem);
  if (isUndecided(status)) return unknown(error, retryAfter(answer, nowMs));
  if (refusesCredentials(answer)) return notNow('authorization_required', error);
  if (!isClientError(status)) return unknown(error);
  if (nome === 'saldo_insuficiente') return notNow('insufficient_balance', error);
  if (MAYBE_OURS.has(nome)) return declined(error, { mayBeOurs: true });
  if (PERMANENT.has(nome)) return declined(error, { mayBeOurs: false });
  return unknown(error);
}

/** The same words appear when an earlier attempt of ours landed. */
const MAYBE_OURS: ReadonlySet<string> = new Set([
  'saldo_devolucao_insuficiente',
  'status_pagamento_invalido_para_devolucao',
]);

const PERMANENT: ReadonlySet<string> = new Set([
  'identificador_pagamento_obrigatorio',
  'identificador_pagamento_invalido',
  'valor_devolucao_invalido',
  'pagamento_nao_encontrado',
]);

const RefundAnswer = z.object({ status: z.string(), identificadorDevolucao: word.nullish() });

function requested(answer: HttpAnswer): SubmitOutcome {
  const body = readJson(RefundAnswer, answer.body);
  if (!body.ok) return unknown(httpError(answer, body.detail));
  const { status, identificadorDevolucao } = body.value;
  const said = { providerRefundId: identificadorDevolucao || null, providerStatus: status };
  const meaning = REFUND_STATUS.get(status);
  // An answer that says "aceito" is not documented here; the reads confirm it.
  if (meaning === 'processing' || meaning === 'succeeded') {
    return { kind: 'accepted', ...said };
  }
  if (meaning === 'rejected') {
    return declined(providerError(status, 'the refund was rejected'), { mayBeOurs: false });
  }
  return unknown(providerError(status, 'a status that no document lists'));
}

const ErrorBody = z.object({ nome: z.unknown(), mensagem: z.unknown() }).partial();

function errorBody(text: string): { readonly nome: string; readonly mensagem: string } {
  const { nome, mensagem } = ErrorBody.safeParse(parseJson(text)).data ?? {};
  return {
    nome: typeof nome === 'string' ? nome : '',
    mensagem: typeof mensagem === 'string' ? mensagem : '',
  };
}

/** GET /v1/pagamentos/pix?inicio=&fim=&identificador= */
export function paymentRead(answer: HttpAnswer, providerPaymentId: string, nowMs: number): PaymentRead {
  const refusal = readRefusal(answer, nowMs);
  if (refusal) return refusal;
  if (NOT_FOUND.has(errorBody(answer.body).nome)) {
    return { kind: 'notFound', detail: 'Efí knows no such payment' };
  }
  if (answer.status !== 200) return unreadable(`the provider answered HTTP ${answer.status}`);
  const body = readJson(PaymentList, answer.body);
  if (!body.ok) return unreadable(body.detail);

  // Only ours is read strictly: another payment's odd member is not our matter.
  const { pagamentos, ...envelope } = body.value;
  const ours = pagamentos.find((item) => canonicalUrn(item.identificadorPagamento) === providerPaymentId);
  if (!ours) {
    if (hasMorePages(envelope, pagamentos.length)) {
      return unreadable('the payment is not on the first page of several');
    }
    return { kind: 'notFound', detail: 'Efí lists no such payment' };
  }
  const payment = Payment.safeParse(ours);
  if (!payment.success) {
    return unreadable(`the payment's member ${payment.error.issues[0]?.path.join('.')} is not as documented`);
  }
  return { kind: 'found', snapshot: snapshotOf(payment.data) };
}

const NOT_FOUND: ReadonlySet<string> = new Set([
  'pagamento_nao_encontrado',
  'identificador_pagamento_invalido',
]);

const pageNumber = integerCode.nullish().catch(null);

const PaymentList = z.object({
  pagamentos: z.array(z.looseObject({ identificadorPagamento: z.string() })),
  total: pageNumber,
  ultimo: pageNumber,
  proximo: pageNumber,
  atual: pageNumber,
});

type Envelope = Omit<z.output<typeof PaymentList>, 'pagamentos'>;

function hasMorePages({ total, ultimo, proximo, atual }: Envelope, listed: number): boolean {
  return (total ?? 0) > listed || (ultimo ?? 0) > (atual ?? 1) || (proximo ?? 0) > (atual ?? 1);
}

const Payment = z.object({
  status: z.string(),
  valor: majorText.nullish(),
  dataCriacao: z.string().nullish(),
  devolucoes: z
    .array(z.object({ identificadorDevolucao: word.nullish(), valor: majorText, status: z.string() }))
    .nullish(),
});

function snapshotOf(payment: z.output<typeof Payment>): PaymentSnapshot {
  return {
    status: PAYMENT_STATUS.get(payment.status) ?? 'unknown',
    providerStatus: payment.status,
    providerPaymentReference: null,
    amountMinor: payment.valor ?? null,
    amountMayBeReduced: false,
    currency: 'BRL',
    method: 'pix',
    paidAtMs: parseInstant(payment.dataCriacao),
    refunds: (payment.devolucoes ?? []).map((refund) => ({
      providerRefundId: refund.identificadorDevolucao || null,
      amountMinor: refund.valor,
      status: REFUND_STATUS.get(refund.status) ?? 'unknown',
      providerStatus: refund.status,
    })),
    complete: true,
  };
}

const PAYMENT_STATUS: ReadonlyMap<string, PaymentSnapshot['status']> = new Map([
  ['aceito', 'refundable'],
  ['pendente', 'notRefundable'],
  ['agendado', 'notRefundable'],
  ['rejeitado', 'notRefundable'],
  ['erro', 'notRefundable'],
  ['expirado', 'notRefundable'],
  ['cancelado', 'notRefundable'],
]);

const REFUND_STATUS: ReadonlyMap<string, ProviderRefundStatus> = new Map([
  ['pendente', 'processing'],
  ['aceito', 'succeeded'],
  ['rejeitado', 'rejected'],
]);

const Webhook = z.object({ identificadorPagamento: z.string().nullish() });

/** The delivery names the payment; its amount and status are not believed, only read again. */
export function webhookPaymentId(
  rawBody: string,
): { kind: 'hint'; providerPaymentId: string | null } | { kind: 'malformed'; detail: string } {
  const body = readJson(Webhook, rawBody);
  if (!body.ok) return { kind: 'malformed', detail: body.detail };
  const id = body.value.identificadorPagamento;
  return { kind: 'hint', providerPaymentId: id ? canonicalUrn(id) : null };
}
