import { describe, expect, it } from '@jest/globals';
import { canonicalUrn, paymentRead, refundOutcome, webhookPaymentId } from './mapping.js';

const ID = 'urn:efi:ae71713f-875b-4af3-9d85-0bcb43288847';

const text = (body: unknown) => (typeof body === 'string' ? body : JSON.stringify(body));
const submit = (status: number, body: unknown) => refundOutcome({ status, headers: {}, body: text(body) }, 0);
const read = (body: unknown, status = 200) => paymentRead({ status, headers: {}, body: text(body) }, ID, 0);

const item = (members: Record<string, unknown> = {}) => ({
  identificadorPagamento: ID,
  valor: '10.00',
  status: 'aceito',
  dataCriacao: '2026-01-02T03:04:05.000Z',
  ...members,
});

describe('a refund at Efí', () => {
  it.each([
    ['pendente', { kind: 'accepted', providerStatus: 'pendente', providerRefundId: null }],
    ['aceito', { kind: 'accepted', providerStatus: 'aceito' }],
    ['rejeitado', { kind: 'declined', mayBeOurs: false }],
    ['devolvido', { kind: 'unknown', error: { code: 'devolvido' } }],
  ])('answered %s', (status, expected) => {
    expect(submit(202, { identificadorPagamento: ID, valorDevolucao: '0.01', status })).toMatchObject(
      expected,
    );
  });

  it.each(['', '<html>', '{}', '{"status":1}'])('is unknown where the 202 cannot be read: %j', (body) => {
    expect(submit(202, body)).toMatchObject({ kind: 'unknown' });
  });

  it.each([
    [400, 'identificador_pagamento_obrigatorio', { kind: 'declined', mayBeOurs: false }],
    [400, 'valor_devolucao_invalido', { kind: 'declined', mayBeOurs: false }],
    [422, 'identificador_pagamento_invalido', { kind: 'declined', mayBeOurs: false }],
    [422, 'status_pagamento_invalido_para_devolucao', { kind: 'declined', mayBeOurs: true }],
    [422, 'saldo_devolucao_insuficiente', { kind: 'declined', mayBeOurs: true }],
    [422, 'saldo_insuficiente', { kind: 'notNow', reason: 'insufficient_balance' }],
    [400, 'saldo_insuficiente', { kind: 'notNow', reason: 'insufficient_balance' }],
    [404, 'pagamento_nao_encontrado', { kind: 'declined', mayBeOurs: false }],
    [500, 'erro_aplicacao', { kind: 'unknown' }],
    [500, 'saldo_insuficiente', { kind: 'unknown' }],
    [408, 'x', { kind: 'unknown' }],
    [429, 'x', { kind: 'unknown' }],
    [409, 'conflito_chave_idempotencia', { kind: 'unknown' }],
    [422, 'nunca_documentado', { kind: 'unknown' }],
    [401, 'x', { kind: 'notNow', reason: 'authorization_required' }],
    [403, 'x', { kind: 'notNow', reason: 'authorization_required' }],
  ])('answered %d %s', (status, nome, expected) => {
    expect(submit(status, { nome, mensagem: 'texto' })).toMatchObject({ ...expected, error: { code: nome } });
  });

  it('is unknown where an error is no JSON', () => {
    expect(submit(422, '<html>')).toMatchObject({ kind: 'unknown' });
    expect(submit(302, '')).toMatchObject({ kind: 'unknown' });
  });
});

describe('a payment at Efí', () => {
  it.each([
    ['aceito', 'refundable'],
    ['pendente', 'notRefundable'],
    ['agendado', 'notRefundable'],
    ['rejeitado', 'notRefundable'],
    ['erro', 'notRefundable'],
    ['expirado', 'notRefundable'],
    ['cancelado', 'notRefundable'],
    ['outro', 'unknown'],
  ])('with status %s is %s', (status, expected) => {
    expect(read({ pagamentos: [item({ status })] })).toMatchObject({ snapshot: { status: expected } });
  });

  it.each([
    ['pendente', 'processing'],
    ['aceito', 'succeeded'],
    ['rejeitado', 'rejected'],
    ['outro', 'unknown'],
  ])('shows a refund with status %s as %s', (status, expected) => {
    const devolucoes = [{ identificadorDevolucao: 'D1', valor: '0.01', status }];
    expect(read({ pagamentos: [item({ devolucoes })] })).toMatchObject({
      snapshot: {
        amountMinor: 1000,
        complete: true,
        refunds: [{ providerRefundId: 'D1', amountMinor: 1, status: expected, providerStatus: status }],
      },
    });
  });

  it('is found among others, whatever those look like, with numbers or text in the envelope', () => {
    const body = {
      pagamentos: [{ identificadorPagamento: 'other', valor: 7 }, item()],
      total: '2',
      atual: 1,
      ultimo: '1',
    };
    expect(read(body)).toMatchObject({ kind: 'found' });
  });

  it('is not found only where the list is whole', () => {
    expect(read({ pagamentos: [], total: 0, proximo: null })).toMatchObject({ kind: 'notFound' });
    expect(read({ nome: 'pagamento_nao_encontrado' }, 404)).toMatchObject({ kind: 'notFound' });
    expect(read({ pagamentos: [], total: 3 })).toMatchObject({ kind: 'unreadable' });
    expect(read({ pagamentos: [], atual: '1', proximo: '2' })).toMatchObject({ kind: 'unreadable' });
    expect(read({ pagamentos: [], atual: 1, ultimo: 2 })).toMatchObject({ kind: 'unreadable' });
  });

  it.each([
    ['<html></html>', 200],
    ['{"pagamentos":', 200],
    [{ pagamentos: [item({ valor: 10 })] }, 200],
    [{ pagamentos: [item({ valor: '1000' })] }, 200],
    [{ pagamentos: [item({ devolucoes: [{ valor: 'x', status: 'aceito' }] })] }, 200],
    [{ pagamentos: 'none' }, 200],
    ['', 404],
    ['', 302],
  ])('is unreadable with %j, %d', (body, status) => {
    expect(read(body, status)).toMatchObject({ kind: 'unreadable' });
  });
});

describe('Efí ids and webhooks', () => {
  it('decodes urns and lowers their UUID', () => {
    expect(canonicalUrn(encodeURIComponent(ID.toUpperCase()))).toBe(ID);
    expect(canonicalUrn('%zz')).toBeNull();
    expect(canonicalUrn('a%2Fb')).toBeNull();
  });

  it('takes the payment from the delivery', () => {
    const delivery = { identificadorPagamento: ID, tipo: 'devolucao', status: 'aceito', valor: '0.01' };
    expect(webhookPaymentId(text(delivery))).toEqual({ kind: 'hint', providerPaymentId: ID });
    expect(webhookPaymentId('{}')).toEqual({ kind: 'hint', providerPaymentId: null });
    expect(webhookPaymentId('nope')).toMatchObject({ kind: 'malformed' });
    expect(webhookPaymentId('[]')).toMatchObject({ kind: 'malformed' });
  });
});
