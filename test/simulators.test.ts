import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { request } from 'undici';
import { SIMULATED_PROVIDERS, type SimulatedProvider } from '../simulators/book.js';
import type { Fault } from '../simulators/faults.js';
import { startControl } from '../simulators/control.js';
import {
  startSimulators,
  type CreatedPayment,
  type SimulatorOptions,
  type Simulators,
} from '../simulators/start.js';

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const folders: string[] = [];

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

describe('PicPay', () => {
  it('does a refund once for one idempotency key, and shows it in the payment', async () => {
    const { picpay, simulators } = await start();
    const payment = simulators.createPayment('picpay', { amountMinor: 1_000 });
    const body = { value: 0.1, transaction_id: payment.providerPaymentId };
    const first = await picpay.refund('key-1', body);
    expect(first.status).toBe(200);
    expect(await picpay.refund('key-1', body)).toEqual(first);
    expect(simulators.refundsOf('picpay', payment.providerPaymentId)).toHaveLength(1);
    expect((await picpay.read(payment.providerPaymentId)).body).toMatchObject({
      status: 'PARTIALLY_REFUNDED',
      value: 10,
      refunded_value: 0.1,
      transactions: [{ refunds: [{ value: 0.1 }] }],
    });
  });

  it('repeats a non-retryable refusal for ever and really retries after a retryable error', async () => {
    const { picpay, simulators } = await start();
    const payment = simulators.createPayment('picpay', { amountMinor: 1_000 });
    const body = { value: 10, transaction_id: payment.providerPaymentId };
    await simulators.inject('picpay', { operation: 'submit', name: 'declined' });
    expect((await picpay.refund('key-1', body)).status).toBe(406);
    expect(await picpay.refund('key-1', body)).toEqual({
      status: 406,
      body: { message: 'Transaction could not be refund' },
    });
    await simulators.inject('picpay', { operation: 'submit', name: 'status_before_effect', status: 503 });
    expect((await picpay.refund('key-2', body)).status).toBe(503);
    expect((await picpay.refund('key-2', body)).status).toBe(200);
    expect((await picpay.refund('key-3', body)).status).toBe(406);
    expect(simulators.refundsOf('picpay', payment.providerPaymentId)).toHaveLength(1);
  });

  it('answers 208 while the first request of a key is still running', async () => {
    const { picpay, simulators } = await start();
    const payment = simulators.createPayment('picpay', { amountMinor: 1_000 });
    const body = { value: 10, transaction_id: payment.providerPaymentId };
    await simulators.inject('picpay', { operation: 'submit', name: 'late_effect', ms: 150, status: 500 });
    expect((await picpay.refund('key-1', body)).status).toBe(500);
    expect((await picpay.refund('key-1', body)).status).toBe(208);
    await until(() => simulators.refundsOf('picpay', payment.providerPaymentId).length === 1);
    expect((await picpay.refund('key-1', body)).status).toBe(200);
    expect(simulators.refundsOf('picpay', payment.providerPaymentId)).toHaveLength(1);
  });

  it('rotates a refresh token at each use, and its user reaches only the own payment', async () => {
    const { picpay, simulators } = await start();
    const own = simulators.createPayment('picpay', { amountMinor: 1_000 });
    const other = simulators.createPayment('picpay', { amountMinor: 1_000 });
    const grant = await picpay.token({ grant_type: 'refresh_token', refresh_token: own.refreshToken ?? '' });
    expect(grant.body).toMatchObject({ token_type: 'Bearer', expires_in: 300 });
    expect(
      (await picpay.token({ grant_type: 'refresh_token', refresh_token: own.refreshToken ?? '' })).body,
    ).toEqual({
      error: 'invalid_grant',
    });
    const bearer = `Bearer ${grant.body.access_token}`;
    expect((await picpay.read(own.providerPaymentId, bearer)).status).toBe(200);
    expect((await picpay.read(other.providerPaymentId, bearer)).status).toBe(404);
    const next = { grant_type: 'refresh_token', refresh_token: grant.body.refresh_token };
    expect((await picpay.token(next)).status).toBe(200);
    expect(JSON.stringify(simulators.callsOf('picpay'))).not.toContain(own.refreshToken);
  });
});

describe('Efí', () => {
  it('accepts with 202 pendente, then shows aceito and posts a webhook with the secret in its query', async () => {
    const { efi, simulators } = await start();
    const inbox = await webhookInbox(simulators);
    const { providerPaymentId } = simulators.createPayment('efi', { amountMinor: 500 });
    expect(await efi.refund(providerPaymentId, '0.01')).toMatchObject({
      status: 202,
      body: { identificadorPagamento: providerPaymentId, valorDevolucao: '0.01', status: 'pendente' },
    });
    expect((await efi.read(providerPaymentId)).body.pagamentos[0].devolucoes).toMatchObject([
      {
        identificadorDevolucao: expect.stringMatching(/^D[0-9A-Za-z]{31}$/),
        valor: '0.01',
        status: 'pendente',
      },
    ]);
    await until(() => inbox.length === 1);
    expect(inbox[0]?.url).toBe(`/v1/providers/efi/webhook?hmac=${simulators.env['EFI_WEBHOOK_SECRET']}`);
    expect(JSON.parse(inbox[0]?.body ?? '')).toMatchObject({
      tipo: 'devolucao',
      status: 'aceito',
      valor: '0.01',
    });
    expect((await efi.read(providerPaymentId)).body.pagamentos[0].devolucoes[0].status).toBe('aceito');
  });

  it('refuses in its documented words', async () => {
    const { efi, simulators } = await start();
    const { providerPaymentId } = simulators.createPayment('efi', { amountMinor: 500 });
    const unpaid = simulators.createPayment('efi', { amountMinor: 500, status: 'unpaid' });
    await simulators.inject('efi', { operation: 'submit', name: 'insufficient_balance' });
    expect((await efi.refund(providerPaymentId, '5.00')).body.nome).toBe('saldo_insuficiente');
    expect((await efi.refund(providerPaymentId, '5.01')).body.nome).toBe('saldo_devolucao_insuficiente');
    expect((await efi.refund(providerPaymentId, '5')).body.nome).toBe('valor_devolucao_invalido');
    expect((await efi.refund('urn:efi:none', '5.00')).body.nome).toBe('identificador_pagamento_invalido');
    expect((await efi.refund(unpaid.providerPaymentId, '5.00')).body.nome).toBe(
      'status_pagamento_invalido_para_devolucao',
    );
    expect((await efi.refund(providerPaymentId, '5.00', 'Bearer wrong')).status).toBe(401);
    expect(simulators.refundsOf('efi', providerPaymentId)).toHaveLength(0);
  });
});

describe('Braspag', () => {
  it('schedules in centavos at one host and shows Refunds at the other: 1, then 3, and 11 when all is back', async () => {
    const { braspag, simulators } = await start();
    const inbox = await webhookInbox(simulators);
    const { providerPaymentId } = simulators.createPayment('braspag', { amountMinor: 500 });
    expect((await braspag.void(providerPaymentId, '?amount=200')).body).toMatchObject({
      Status: 2,
      ReasonCode: 8,
      ReasonMessage: 'Scheduled',
    });
    expect((await braspag.read(providerPaymentId)).body.Payment).toMatchObject({
      Status: 2,
      Refunds: [{ Amount: 200, Status: 1 }],
    });
    await until(() => inbox.length === 1);
    expect(inbox[0]?.headers['x-webhook-secret']).toBe(simulators.env['BRASPAG_WEBHOOK_SECRET']);
    expect(JSON.parse(inbox[0]?.body ?? '')).toEqual({ PaymentId: providerPaymentId, ChangeType: 1 });
    expect((await braspag.void(providerPaymentId, '?amount=301')).body.ReasonCode).toBe(19);
    await braspag.void(providerPaymentId, '');
    await until(() => inbox.length === 2);
    expect((await braspag.read(providerPaymentId)).body.Payment).toMatchObject({
      Status: 11,
      VoidedAmount: 500,
      Refunds: [{ Status: 3 }, { Amount: 300, Status: 3 }],
    });
    expect((await braspag.void(providerPaymentId, '')).body).toEqual([
      { Code: 312, Message: 'Transaction not available to refund' },
    ]);
  });

  it('denies later, or names the missing balance, on demand', async () => {
    const { braspag, simulators } = await start();
    const { providerPaymentId } = simulators.createPayment('braspag', { amountMinor: 500 });
    await simulators.inject('braspag', { operation: 'submit', name: 'insufficient_balance' });
    expect((await braspag.void(providerPaymentId, '')).body.ProviderReturnMessage).toBe(
      'Merchant has insufficient balance for refund',
    );
    await simulators.inject('braspag', { operation: 'submit', name: 'reject_later' });
    await braspag.void(providerPaymentId, '');
    await until(() => simulators.refundsOf('braspag', providerPaymentId)[0]?.status === 'rejected');
    expect((await braspag.read(providerPaymentId)).body.Payment.Refunds).toMatchObject([{ Status: 4 }]);
  });
});

describe('4Geeks', () => {
  it('answers 201 succeeded, lists a bare array, and reduces the charge', async () => {
    const { fourgeeks, simulators } = await start();
    const { providerPaymentId } = simulators.createPayment('fourgeeks', { amountMinor: 10_000 });
    const partial = { charge_id: providerPaymentId, amount: 10.5, reason: 'duplicate' };
    const created = await fourgeeks('POST', '/v1/refunds/', partial);
    expect(created).toMatchObject({
      status: 201,
      body: { amount: '10.50', status: 'succeeded', reason: 'duplicate' },
    });
    expect((await fourgeeks('GET', `/v1/refunds/?charge_id=${providerPaymentId}`)).body).toEqual([
      created.body,
    ]);
    expect((await fourgeeks('GET', `/v1/refunds/${created.body.id}/`)).body).toEqual(created.body);
    expect((await fourgeeks('GET', `/v1/payments/${providerPaymentId}`)).body.amount).toBe('89.50');
    expect((await fourgeeks('POST', '/v1/refunds', partial)).status).toBe(404);
    expect((await fourgeeks('POST', '/v1/refunds/', { ...partial, amount: 89.51 })).body.content).toBe(
      'The amount provided is greater than the amount of the payment.',
    );
    await fourgeeks('POST', '/v1/refunds/', { charge_id: providerPaymentId, reason: 'fraudulent' });
    expect((await fourgeeks('POST', '/v1/refunds/', partial)).body).toEqual({
      code: 400,
      title: 'Refund error',
      content: 'Charge requested is already refunded',
      type: 'danger',
    });
  });
});

describe('Pagou', () => {
  it('takes one refund a Pix: 204, then refund.status 3 and a signed webhook', async () => {
    const { pagou, simulators } = await start();
    const inbox = await webhookInbox(simulators);
    const { providerPaymentId } = simulators.createPayment('pagou', { amountMinor: 5_000 });
    const body = { amount: 20, reason: 3, description: 'refund' };
    expect(await pagou('DELETE', `/v1/pix/${providerPaymentId}/refund`, body)).toEqual({
      status: 204,
      body: null,
    });
    expect((await pagou('GET', `/v1/pix/${providerPaymentId}`)).body).toMatchObject({
      amount: 50,
      status: 5,
      refund: { amount: 20, status: 2 },
    });
    await until(() => inbox.length === 1);
    const { headers, body: raw } = inbox[0] as Received;
    const signed = createHmac('sha256', simulators.env['PAGOU_API_KEY'] ?? '').update(
      `${String(headers['x-pagou-timestamp'])}${raw}`,
    );
    expect(headers['x-pagou-signature']).toBe(signed.digest('hex'));
    expect(JSON.parse(raw)).toMatchObject({ event_name: 'qrcode.refunded', data: { id: providerPaymentId } });
    expect((await pagou('GET', `/v1/pix/${providerPaymentId}`)).body.refund.status).toBe(3);
    expect(await pagou('DELETE', `/v1/pix/${providerPaymentId}/refund`, body)).toEqual({
      status: 400,
      body: { error: 'QRCode is not in completed status' },
    });
  });
});

describe('the book', () => {
  it('survives a restart with the same ports and keys, refunds under way included', async () => {
    const dataDir = await newFolder();
    const before = await start({ dataDir, seed: 7, confirmDelayMs: 60_000 });
    const { providerPaymentId } = before.simulators.createPayment('efi', { amountMinor: 500 });
    const paid = before.simulators.createPayment('picpay', { amountMinor: 500 });
    const refund = { transaction_id: paid.providerPaymentId };
    await before.simulators.inject('efi', { operation: 'submit', name: 'confirm_delay', ms: 1 });
    await before.efi.refund(providerPaymentId, '5.00');
    const first = await before.picpay.refund('key-1', refund);
    await before.simulators.close();
    closers.length = 0;

    const after = await start({ dataDir, seed: 7, env: before.simulators.env });
    expect(after.simulators.env).toEqual(before.simulators.env);
    await until(() => after.simulators.refundsOf('efi', providerPaymentId)[0]?.status === 'succeeded');
    expect(await after.picpay.refund('key-1', refund)).toEqual(first);
    expect(after.simulators.callsOf('efi', 'submit')).toHaveLength(1);
    expect(after.simulators.createPayment('efi', { amountMinor: 1 }).providerPaymentId).not.toBe(
      providerPaymentId,
    );
  });

  it('gives up a kept port that somebody took meanwhile, of that provider alone, and keeps the credentials', async () => {
    const dataDir = await newFolder();
    const before = await start({ dataDir });
    const { env } = before.simulators;
    await before.simulators.close();
    closers.length = 0;
    const thief = createServer();
    await new Promise<void>((resolve) =>
      thief.listen(Number(new URL(env['EFI_BASE_URL']!).port), '127.0.0.1', resolve),
    );
    closers.push(() => new Promise((resolve) => thief.close(resolve)));

    const after = await start({ dataDir, env });
    expect(after.simulators.env).toEqual({ ...env, EFI_BASE_URL: after.simulators.origins.efi });
    expect(after.simulators.origins.efi).not.toBe(env['EFI_BASE_URL']);
    const { providerPaymentId } = after.simulators.createPayment('efi', { amountMinor: 500 });
    expect((await after.efi.read(providerPaymentId)).status).toBe(200);
  });

  it('says in one line what is wrong with the port of the control API', async () => {
    const thief = createServer();
    await new Promise<void>((resolve) => thief.listen(0, '127.0.0.1', resolve));
    closers.push(() => new Promise((resolve) => thief.close(resolve)));
    const { port } = thief.address() as AddressInfo;
    expect(await failedStart(String(port))).toBe(
      `SIMULATORS_CONTROL_PORT is set to ${port}, but nothing can listen there: it is busy\n`,
    );
    expect(await failedStart('garbage')).toBe('SIMULATORS_CONTROL_PORT must be a whole number\n');
    expect(await failedStart('65536')).toBe('SIMULATORS_CONTROL_PORT must be at most 65535\n');
  });

  it('loses nothing to kill -9, and the child ends with its parent', async () => {
    const dataDir = await newFolder();
    const first = await startChild(dataDir);
    const payment = first.line.payments.find((each) => each.provider === 'fourgeeks');
    const basic = Buffer.from(`${first.line.env['FOURGEEKS_SECRET_KEY']}:`).toString('base64');
    const body = { charge_id: payment?.providerPaymentId, reason: 'duplicate' };
    const url = `${first.line.origins.fourgeeks}/v1/refunds/`;
    expect((await send(url, 'POST', { authorization: `Basic ${basic}` }, body)).status).toBe(201);
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');

    const second = await startChild(dataDir, { SIMULATORS_ENV: JSON.stringify(first.line.env) });
    expect(second.line.env).toEqual(first.line.env);
    const listed = await send(url, 'GET', { authorization: `Basic ${basic}` });
    expect(listed.body).toMatchObject([{ charge_id: payment?.providerPaymentId }]);
    second.child.stdin.end();
    expect(await once(second.child, 'exit')).toEqual([0, null]);
  });

  it('counts money that left without the API', async () => {
    const { efi, simulators } = await start();
    const { providerPaymentId } = simulators.createPayment('efi', { amountMinor: 500 });
    simulators.addPanelRefund('efi', providerPaymentId, 400);
    expect((await efi.refund(providerPaymentId, '1.01')).body.nome).toBe('saldo_devolucao_insuficiente');
    expect(() => simulators.addPanelRefund('efi', providerPaymentId, 101)).toThrow(RangeError);
  });
});

describe('faults', () => {
  const submits: readonly [Fault, boolean][] = [
    [{ operation: 'submit', name: 'reset_before_effect' }, false],
    [{ operation: 'submit', name: 'reset_after_effect' }, true],
    [{ operation: 'submit', name: 'timeout_before_effect' }, false],
    [{ operation: 'submit', name: 'timeout_after_effect' }, true],
    [{ operation: 'submit', name: 'cut_body' }, true],
    [{ operation: 'submit', name: 'late_effect', ms: 50 }, true],
  ];
  it.each(submits)('%j gives the client no answer, and moves money: %p', async (fault, moved) => {
    for (const provider of ['braspag', 'pagou'] as const) {
      const { simulators, braspag, pagou } = await start();
      const { providerPaymentId } = simulators.createPayment(provider, { amountMinor: 500 });
      const body = { amount: 5, reason: 3, description: 'refund' };
      const submit = (): Promise<Reply> =>
        provider === 'braspag'
          ? braspag.void(providerPaymentId, '')
          : pagou('DELETE', `/v1/pix/${providerPaymentId}/refund`, body);
      await simulators.inject(provider, fault);
      await expect(submit()).rejects.toThrow();
      if (moved) await until(() => simulators.refundsOf(provider, providerPaymentId).length === 1);
      else expect((await submit()).status).toBe(provider === 'braspag' ? 200 : 204);
      expect(simulators.refundsOf(provider, providerPaymentId)).toHaveLength(1);
    }
  });

  it('down refuses connections at the host of its operation until it is cleared', async () => {
    const { braspag, simulators } = await start();
    const { providerPaymentId } = simulators.createPayment('braspag', { amountMinor: 500 });
    await simulators.inject('braspag', { operation: 'submit', name: 'down' });
    await expect(braspag.void(providerPaymentId, '')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect((await braspag.read(providerPaymentId)).status).toBe(200);
    await simulators.clearFaults('braspag');
    expect((await braspag.void(providerPaymentId, '')).status).toBe(200);
  });

  it('token_expired voids the token, a stale read lacks the newest refund, an unknown status is in no document', async () => {
    const { efi, simulators } = await start();
    const { providerPaymentId } = simulators.createPayment('efi', { amountMinor: 500 });
    const bearer = await efi.bearer();
    await simulators.inject('efi', { operation: 'submit', name: 'token_expired' });
    expect((await efi.refund(providerPaymentId, '1.00', bearer)).status).toBe(401);
    expect((await efi.refund(providerPaymentId, '1.00', bearer)).status).toBe(401);
    expect((await efi.refund(providerPaymentId, '1.00')).status).toBe(202);
    await simulators.inject('efi', { operation: 'read', name: 'stale_read' });
    expect((await efi.read(providerPaymentId)).body.pagamentos[0].devolucoes).toBeUndefined();
    await simulators.inject('efi', { operation: 'read', name: 'unknown_status' });
    expect((await efi.read(providerPaymentId)).body.pagamentos[0].devolucoes[0].status).toBe('em_analise');
    await simulators.inject('efi', { operation: 'read', name: 'html', status: 200 });
    await expect(efi.read(providerPaymentId)).rejects.toThrow(SyntaxError);
  });

  it('refused_after_effect moves the money and answers in each document’s words for "already refunded"', async () => {
    const { simulators, picpay, efi, braspag, pagou, fourgeeks } = await start();
    const submit: Record<SimulatedProvider, (id: string) => Promise<Reply>> = {
      picpay: (id) => picpay.refund('key-1', { value: 5, transaction_id: id }),
      efi: (id) => efi.refund(id, '5.00'),
      braspag: (id) => braspag.void(id, ''),
      fourgeeks: (id) => fourgeeks('POST', '/v1/refunds/', { charge_id: id, reason: 'duplicate' }),
      pagou: (id) => pagou('DELETE', `/v1/pix/${id}/refund`, { amount: 5, reason: 3, description: 'refund' }),
    };
    const words: Record<SimulatedProvider, unknown> = {
      picpay: { status: 400, body: { business_code: 'DUPLICATED_TRANSACTION' } },
      efi: { status: 422, body: { nome: 'saldo_devolucao_insuficiente' } },
      braspag: { status: 400, body: [{ Code: 312 }] },
      fourgeeks: { status: 400, body: { content: 'Charge requested is already refunded' } },
      pagou: { status: 400, body: { error: 'QRCode is not in completed status' } },
    };
    for (const provider of SIMULATED_PROVIDERS) {
      const { providerPaymentId } = simulators.createPayment(provider, { amountMinor: 500 });
      await simulators.inject(provider, { operation: 'submit', name: 'refused_after_effect' });
      expect(await submit[provider](providerPaymentId)).toMatchObject(words[provider] as object);
      expect(simulators.refundsOf(provider, providerPaymentId)).toMatchObject([{ amountMinor: 500 }]);
      expect(simulators.callsOf(provider, 'submit')).toMatchObject([
        { fault: { name: 'refused_after_effect' } },
      ]);
    }
  });

  it('still_running moves the money under its key and answers 208, and the repeat gets the result', async () => {
    const { simulators, picpay } = await start();
    const { providerPaymentId } = simulators.createPayment('picpay', { amountMinor: 500 });
    const body = { value: 5, transaction_id: providerPaymentId };
    await simulators.inject('picpay', { operation: 'submit', name: 'still_running' });
    expect((await picpay.refund('key-1', body)).status).toBe(208);
    expect((await picpay.refund('key-1', body)).status).toBe(200);
    expect(simulators.refundsOf('picpay', providerPaymentId)).toHaveLength(1);
    await expect(simulators.inject('efi', { operation: 'submit', name: 'still_running' })).rejects.toThrow(
      RangeError,
    );
  });

  it('other_amount books another amount than was asked for, and never more than is left', async () => {
    const { simulators, efi } = await start();
    const { providerPaymentId } = simulators.createPayment('efi', { amountMinor: 500 });
    await simulators.inject('efi', { operation: 'submit', name: 'other_amount', amountMinor: 7 });
    expect((await efi.refund(providerPaymentId, '1.00')).status).toBe(202);
    await simulators.inject('efi', { operation: 'submit', name: 'other_amount', amountMinor: 9_999 });
    expect((await efi.refund(providerPaymentId, '1.00')).status).toBe(202);
    const shown = (await efi.read(providerPaymentId)).body.pagamentos[0].devolucoes;
    expect(shown).toMatchObject([{ valor: '0.07' }, { valor: '4.93' }]);
  });

  it('taken_back turns a done refund into a refused one, vanishes hides it; both outlive a restart', async () => {
    const dataDir = await newFolder();
    const before = await start({ dataDir, confirmDelayMs: 1 });
    const paid = [1, 2].map(() => before.simulators.createPayment('efi', { amountMinor: 500 }));
    for (const [at, name] of (['taken_back', 'vanishes'] as const).entries()) {
      await before.simulators.inject('efi', { operation: 'submit', name, ms: 300 });
      await before.efi.refund(paid[at]!.providerPaymentId, '1.00');
    }
    const [takenBack, vanished] = paid.map(({ providerPaymentId }) => providerPaymentId);
    const statusOf = (id?: string): unknown => before.simulators.refundsOf('efi', id!)[0]?.status;
    await until(() => statusOf(takenBack) === 'succeeded' && statusOf(vanished) === 'succeeded');
    await before.simulators.close();
    closers.length = 0;

    const { simulators, efi } = await start({ dataDir, env: before.simulators.env });
    await until(() => simulators.refundsOf('efi', takenBack!)[0]?.status === 'rejected');
    await until(() => simulators.refundsOf('efi', vanished!)[0]?.hidden === true);
    const shown = async (id?: string): Promise<unknown> =>
      (await efi.read(id!)).body.pagamentos[0].devolucoes as unknown;
    expect(await shown(takenBack)).toMatchObject([{ status: 'rejeitado' }]);
    expect(await shown(vanished)).toBeUndefined();
    // The money stays gone, shown or not.
    expect((await efi.refund(vanished!, '4.01')).body.nome).toBe('saldo_devolucao_insuficiente');
  });

  it('taken_back takes back what was confirmed by hand, too, however late', async () => {
    const { simulators, efi } = await start();
    const { providerPaymentId } = simulators.createPayment('efi', { amountMinor: 500 });
    await simulators.inject('efi', { operation: 'submit', name: 'never_confirms' });
    await simulators.inject('efi', { operation: 'submit', name: 'taken_back', ms: 1 });
    await efi.refund(providerPaymentId, '1.00');
    const shown = () => simulators.refundsOf('efi', providerPaymentId)[0]!;
    await until(() => Date.now() > shown().afterwards!.atMs + 50);
    simulators.setRefundStatus('efi', providerPaymentId, shown().id, 'succeeded');
    await until(() => shown().status === 'rejected');
  });

  it('status_before_effect limits a read with the Retry-After that it is given', async () => {
    const { simulators, efi } = await start();
    const { providerPaymentId } = simulators.createPayment('efi', { amountMinor: 500 });
    const fault: Fault = { operation: 'read', name: 'status_before_effect', status: 429, retryAfter: 7 };
    await simulators.inject('efi', fault);
    expect((await efi.read(providerPaymentId)).status).toBe(429);
    expect((await efi.read(providerPaymentId)).status).toBe(200);
  });

  it('are refused where the document leaves no room for them', async () => {
    const { simulators } = await start();
    await expect(simulators.inject('pagou', { operation: 'submit', name: 'reject_later' })).rejects.toThrow(
      RangeError,
    );
    await expect(
      simulators.inject('picpay', { operation: 'submit', name: 'never_confirms' }),
    ).rejects.toThrow(RangeError);
  });
});

describe('the control API', () => {
  it('makes payments, injects faults and shows the books over HTTP', async () => {
    const { simulators, pagou } = await start();
    const control = await startControl(simulators);
    closers.push(() => control.down());
    const call = (method: string, path: string, body?: unknown): Promise<Reply> =>
      send(`${control.origin}${path}`, method, {}, body);
    const payment = (await call('POST', '/payments', { provider: 'pagou', amountMinor: 700 })).body;
    const fault = { operation: 'submit', name: 'status_after_effect', status: 500 };
    expect((await call('POST', '/faults', { provider: 'pagou', fault })).status).toBe(204);
    const body = { amount: 7, reason: 1, description: 'refund' };
    expect((await pagou('DELETE', `/v1/pix/${payment.providerPaymentId}/refund`, body)).status).toBe(500);
    const books = await call('GET', `/books?provider=pagou&providerPaymentId=${payment.providerPaymentId}`);
    expect(books.body).toMatchObject({ payments: [{ amountMinor: 700 }], refunds: [{ amountMinor: 700 }] });
    expect((await call('POST', '/faults', { provider: 'pagou', fault: { name: 'none' } })).status).toBe(400);
  });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'simulators-'));
  folders.push(folder);
  return folder;
}

interface Reply {
  readonly status: number;
  // The bodies of five foreign APIs; each test states the members that it relies on.
  readonly body: ReturnType<typeof JSON.parse>;
}

async function start(options: SimulatorOptions = {}) {
  const simulators = await startSimulators({ confirmDelayMs: 60, ...options });
  closers.push(() => simulators.close());
  const { env, origins } = simulators;

  const picpayToken = (form: Record<string, string>): Promise<Reply> =>
    send(
      `${origins.picpay}/oauth2/token`,
      'POST',
      {},
      new URLSearchParams({
        client_id: env['PICPAY_CLIENT_ID'] ?? '',
        client_secret: env['PICPAY_CLIENT_SECRET'] ?? '',
        ...form,
      }),
    );
  const picpayBearer = async (): Promise<string> =>
    `Bearer ${(await picpayToken({ grant_type: 'client_credentials' })).body.access_token}`;
  const picpay = {
    token: picpayToken,
    refund: async (key: string, body: unknown): Promise<Reply> =>
      send(
        `${origins.picpay}/v1/payments/refund`,
        'POST',
        { authorization: await picpayBearer(), 'x-Idempotency-Key': key },
        body,
      ),
    read: async (id: string, bearer?: string): Promise<Reply> =>
      send(`${origins.picpay}/v1/payments?transaction_id=${id}`, 'GET', {
        authorization: bearer ?? (await picpayBearer()),
      }),
  };

  const efiBearer = async (): Promise<string> => {
    const basic = Buffer.from(`${env['EFI_CLIENT_ID']}:${env['EFI_CLIENT_SECRET']}`).toString('base64');
    const grant = { grant_type: 'client_credentials' };
    const answer = await send(
      `${origins.efi}/v1/oauth/token`,
      'POST',
      { authorization: `Basic ${basic}` },
      grant,
    );
    return `Bearer ${answer.body.access_token}`;
  };
  const efi = {
    bearer: efiBearer,
    refund: async (id: string, valor: string, bearer?: string): Promise<Reply> =>
      send(
        `${origins.efi}/v1/pagamentos/pix/${encodeURIComponent(id)}/devolver`,
        'POST',
        { authorization: bearer ?? (await efiBearer()) },
        { valor },
      ),
    read: async (id: string): Promise<Reply> =>
      send(
        `${origins.efi}/v1/pagamentos/pix?inicio=2020-01-01&fim=2020-01-02&identificador=${encodeURIComponent(id)}`,
        'GET',
        { authorization: await efiBearer() },
      ),
  };

  const merchant = {
    MerchantId: env['BRASPAG_MERCHANT_ID'] ?? '',
    MerchantKey: env['BRASPAG_MERCHANT_KEY'] ?? '',
  };
  const braspag = {
    void: (id: string, search: string): Promise<Reply> =>
      send(`${origins.braspag}/v2/sales/${id}/void${search}`, 'PUT', merchant),
    read: (id: string): Promise<Reply> => send(`${origins.braspag_query}/v2/sales/${id}`, 'GET', merchant),
  };

  const basic = Buffer.from(`${env['FOURGEEKS_SECRET_KEY']}:`).toString('base64');
  const fourgeeks = (method: string, path: string, body?: unknown): Promise<Reply> =>
    send(`${origins.fourgeeks}${path}`, method, { authorization: `Basic ${basic}` }, body);
  const pagou = (method: string, path: string, body?: unknown): Promise<Reply> =>
    send(`${origins.pagou}${path}`, method, { 'X-API-KEY': env['PAGOU_API_KEY'] ?? '' }, body);
  return { simulators, picpay, efi, braspag, fourgeeks, pagou };
}

interface ChildLine {
  readonly env: Record<string, string>;
  readonly origins: Simulators['origins'];
  readonly payments: readonly CreatedPayment[];
}

async function startChild(dataDir: string, env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['--import', './test/setup/typescript.mjs', 'simulators/main.ts'], {
    env: { DATA_DIR: dataDir, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  closers.push(async () => child.kill('SIGKILL'));
  const [text] = await once(createInterface(child.stdout), 'line');
  return { child, line: JSON.parse(String(text)) as ChildLine };
}

/** What the child said on standard error before it gave up. */
async function failedStart(controlPort: string): Promise<string> {
  const child = spawn(process.execPath, ['--import', './test/setup/typescript.mjs', 'simulators/main.ts'], {
    env: { DATA_DIR: await newFolder(), SIMULATORS_CONTROL_PORT: controlPort },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  closers.push(async () => child.kill('SIGKILL'));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  expect(await once(child, 'close')).toEqual([1, null]);
  return said;
}

async function send(
  url: string,
  method: string,
  headers: Record<string, string>,
  body?: unknown,
): Promise<Reply> {
  const form = body instanceof URLSearchParams;
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json';
  const response = await request(url, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': type }) },
    body: body === undefined ? null : form ? body.toString() : JSON.stringify(body),
    // A kept connection would outlive the restart of a simulator.
    reset: true,
    signal: AbortSignal.timeout(1_000),
  });
  const text = await response.body.text();
  return { status: response.statusCode, body: text === '' ? null : JSON.parse(text) };
}

interface Received {
  readonly url: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

async function webhookInbox(simulators: Simulators): Promise<Received[]> {
  const inbox: Received[] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      inbox.push({
        url: incoming.url ?? '',
        headers: incoming.headers,
        body: Buffer.concat(chunks).toString(),
      });
      outgoing.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  simulators.setWebhookTarget(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return inbox;
}

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 3_000;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error('the condition did not come true');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
