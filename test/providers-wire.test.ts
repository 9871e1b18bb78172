import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { PaymentReference, RefundProvider, SubmitRequest } from '../src/domain/provider.js';
import type { CredentialStore, ProviderDefinition } from '../src/providers/definition.js';
import { createHttpClient, type HttpClients } from '../src/providers/http.js';
import { PROVIDERS } from '../src/providers/registry.js';

interface Received {
  readonly line: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}
interface Answer {
  readonly status: number;
  readonly body?: string;
}

const UUID = '550e8400-e29b-41d4-a716-446655440000';
const URN = `urn:efi:${UUID}`;
const TOKEN: Answer = { status: 200, body: '{"access_token":"tok","expires_in":300}' };
const NOW_MS = Date.parse('2026-03-01T12:00:00Z');

const received: Received[] = [];
let answers: (line: string, body: string) => Answer = () => ({ status: 200 });
const stored = new Map<string, string>();
let origin = '';
let clients: HttpClients;
let close: () => Promise<void>;

beforeEach(async () => {
  received.length = 0;
  stored.clear();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const line = `${request.method} ${request.url}`;
      const sent = Buffer.concat(chunks).toString('utf8');
      received.push({ line, headers: request.headers, body: sent });
      const { status, body } = answers(line, sent);
      response.writeHead(status).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  clients = createHttpClient({ timeoutMs: 2000 });
  close = async () => {
    await clients.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
});

afterEach(() => close());

const credentialStore: CredentialStore = {
  async rotateCredential(owner, rotate) {
    const { next, value } = await rotate(stored.get(owner) ?? null);
    if (next !== null) stored.set(owner, next);
    return value;
  },
};

function create(name: string, env: Record<string, string>, store = credentialStore): RefundProvider {
  const definition = PROVIDERS.find((one) => one.name === name) as ProviderDefinition;
  return definition.create(definition.settings.parse(env), {
    createHttpClient: clients,
    timeoutMs: 2000,
    nowMs: () => NOW_MS,
    credentialStore: store,
    log: { warn: () => {} },
  });
}

function request(payment: Partial<PaymentReference>, members: Partial<SubmitRequest> = {}): SubmitRequest {
  return {
    payment: {
      providerPaymentId: UUID,
      providerPaymentReference: null,
      paymentId: null,
      paidAtMs: null,
      ...payment,
    },
    refundId: 'rfd_1',
    amountMinor: 10,
    currency: 'BRL',
    reason: 'requested_by_customer',
    description: null,
    idempotencyKey: 'rfd-1-a1',
    ...members,
  };
}

const signal = new AbortController().signal;
const last = () => received.at(-1) as Received;
const lines = () => received.map(({ line }) => line);

describe('PicPay on the wire', () => {
  const picpay = (env: Record<string, string> = {}, store?: CredentialStore) =>
    create(
      'picpay',
      { PICPAY_BASE_URL: origin, PICPAY_CLIENT_ID: 'id', PICPAY_CLIENT_SECRET: 'se&cret', ...env },
      store,
    );

  it('gets a token before it asks beforeSend, then sends the refund exactly', async () => {
    answers = (line) => (line.includes('token') ? TOKEN : { status: 200 });
    const linesAtBeforeSend: number[] = [];
    const outcome = await picpay().submitRefund(request({ providerPaymentReference: 'order-1' }), () => {
      linesAtBeforeSend.push(received.length);
      return true;
    });
    expect(outcome).toMatchObject({ kind: 'done' });
    expect(linesAtBeforeSend).toEqual([1]);
    expect(received[0]).toMatchObject({
      line: 'POST /oauth2/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=client_credentials&client_id=id&client_secret=se%26cret',
    });
    expect(received[1]).toMatchObject({
      line: 'POST /v1/payments/refund',
      headers: {
        authorization: 'Bearer tok',
        'x-idempotency-key': 'rfd-1-a1',
        'content-type': 'application/json',
      },
      body: `{"value":0.10,"transaction_id":"${UUID}","reference_id":"order-1"}`,
    });
  });

  it('renews after a 401 and repeats under the same key', async () => {
    let refunds = 0;
    answers = (line) => {
      if (line.includes('token')) return TOKEN;
      refunds += 1;
      return { status: refunds === 1 ? 401 : 200 };
    };
    expect(await picpay().submitRefund(request({}), () => true)).toMatchObject({ kind: 'done' });
    expect(lines()).toEqual([
      'POST /oauth2/token',
      'POST /v1/payments/refund',
      'POST /oauth2/token',
      'POST /v1/payments/refund',
    ]);
    expect(received[1]?.body).toBe(received[3]?.body);
    expect(received[1]?.headers['x-idempotency-key']).toBe(received[3]?.headers['x-idempotency-key']);
  });

  it('uses the payment’s own refresh token first and keeps the next one', async () => {
    stored.set('pay_1', 'own-1');
    answers = (line) =>
      line.includes('token')
        ? { status: 200, body: '{"access_token":"tok","refresh_token":"own-2","expires_in":300}' }
        : { status: 404 };
    const provider = picpay({ PICPAY_REFRESH_TOKEN: 'merchant' });
    await provider.readPayment(request({ paymentId: 'pay_1' }).payment, signal);
    expect(received[0]?.body).toBe(
      'grant_type=refresh_token&refresh_token=own-1&client_id=id&client_secret=se%26cret',
    );
    expect(stored.get('pay_1')).toBe('own-2');
    expect(last().line).toBe(`GET /v1/payments?transaction_id=${UUID}`);
  });

  it('uses the merchant’s token where the payment has none, and the setting where the kept one has lapsed', async () => {
    stored.set('provider:picpay', 'lapsed');
    let tokens = 0;
    answers = (line) => {
      if (!line.includes('token')) return { status: 404 };
      tokens += 1;
      return tokens === 1 ? { status: 400, body: '{"error":"invalid_grant"}' } : TOKEN;
    };
    await picpay({ PICPAY_REFRESH_TOKEN: 'fresh' }).readPayment(
      request({ paymentId: 'pay_1' }).payment,
      signal,
    );
    expect(received.map(({ body }) => new URLSearchParams(body).get('refresh_token'))).toEqual([
      'lapsed',
      'fresh',
      null,
    ]);
  });

  it.each([
    ['the merchant’s token', { PICPAY_REFRESH_TOKEN: 'merchant' }, 'merchant'],
    ['the app’s own grant', {}, null],
  ])(
    'falls back to %s where the payment’s own token is refused, and leaves that one alone for a while',
    async (_, env, next) => {
      stored.set('pay_1', 'lost-its-successor');
      answers = (line, body) => {
        if (!line.includes('token')) return { status: 404 };
        return body.includes('lost-its-successor')
          ? { status: 400, body: '{"error":"invalid_grant"}' }
          : TOKEN;
      };
      const provider = picpay(env);
      await provider.readPayment(request({ paymentId: 'pay_1' }).payment, signal);
      await provider.readPayment(request({ paymentId: 'pay_1' }).payment, signal);
      const tokens = received.filter(({ line }) => line.includes('token'));
      expect(tokens.map(({ body }) => new URLSearchParams(body).get('refresh_token'))).toEqual([
        'lost-its-successor',
        next,
      ]);
      expect(lines().filter((line) => line.startsWith('GET'))).toHaveLength(2);
    },
  );

  it('calls a payment out of reach, and not unknown, where another’s token does not find it', async () => {
    const reads = async () => picpay().readPayment(request({ paymentId: 'pay_1' }).payment, signal);
    answers = (line, body) => {
      if (!line.includes('token')) return { status: 404, body: '{"message":"Transaction not found"}' };
      return body.includes('void') ? { status: 400, body: '{"error":"invalid_grant"}' } : TOKEN;
    };
    expect(await reads()).toMatchObject({ kind: 'notFound' });
    stored.set('pay_1', 'void');
    expect(await reads()).toMatchObject({ kind: 'unavailable', reason: 'authorization_required' });
  });

  it('waits where the payment’s own token can’t be renewed now: its user’s comes first', async () => {
    stored.set('pay_1', 'own-1');
    answers = () => ({ status: 503 });
    const read = await picpay().readPayment(request({ paymentId: 'pay_1' }).payment, signal);
    expect(read).toMatchObject({ kind: 'unavailable', reason: 'provider_unavailable' });
    expect(lines()).toEqual(['POST /oauth2/token']);
  });

  it.each([
    [400, 'authorization_required'],
    [401, 'authorization_required'],
    [500, 'provider_unavailable'],
    [429, 'provider_unavailable'],
  ])('sends nothing where the token endpoint answers %d', async (status, reason) => {
    answers = () => ({ status });
    const outcome = await picpay().submitRefund(request({}), () => true);
    expect(outcome).toMatchObject({ kind: 'notNow', reason });
    expect(lines()).toEqual(['POST /oauth2/token']);
  });

  it('sends nothing where stored credentials are out of reach', async () => {
    const store: CredentialStore = { rotateCredential: () => Promise.reject(new Error('no database')) };
    const outcome = await picpay({ PICPAY_REFRESH_TOKEN: 'r' }, store).submitRefund(request({}), () => true);
    expect(outcome).toMatchObject({ kind: 'notNow', reason: 'provider_unavailable' });
    expect(received).toHaveLength(0);
  });

  it('asks for one token for many refunds at once', async () => {
    answers = (line) => (line.includes('token') ? TOKEN : { status: 200 });
    const provider = picpay();
    await Promise.all(Array.from({ length: 8 }, () => provider.submitRefund(request({}), () => true)));
    expect(lines().filter((line) => line.includes('token'))).toHaveLength(1);
  });
});

describe('Efí on the wire', () => {
  const efi = () => create('efi', { EFI_BASE_URL: origin, EFI_CLIENT_ID: 'id', EFI_CLIENT_SECRET: 'secret' });

  it('sends token request and refund exactly', async () => {
    answers = (line) => (line.includes('token') ? TOKEN : { status: 202, body: '{"status":"pendente"}' });
    expect(
      await efi().submitRefund(request({ providerPaymentId: URN }, { amountMinor: 1 }), () => true),
    ).toMatchObject({ kind: 'accepted' });
    expect(received[0]).toMatchObject({
      line: 'POST /v1/oauth/token',
      headers: {
        authorization: `Basic ${Buffer.from('id:secret').toString('base64')}`,
        'content-type': 'application/json',
      },
      body: '{"grant_type":"client_credentials"}',
    });
    expect(received[1]).toMatchObject({
      line: `POST /v1/pagamentos/pix/urn%3Aefi%3A${UUID}/devolver`,
      headers: {
        authorization: 'Bearer tok',
        'x-idempotency-key': 'rfd1a1',
        'content-type': 'application/json',
      },
      body: '{"valor":"0.01"}',
    });
  });

  it('never repeats a refund after a 401, but takes another token the next time', async () => {
    answers = (line) => (line.includes('token') ? TOKEN : { status: 401 });
    const provider = efi();
    const outcome = await provider.submitRefund(request({ providerPaymentId: URN }), () => true);
    expect(outcome).toMatchObject({ kind: 'notNow', reason: 'authorization_required' });
    expect(received).toHaveLength(2);
    await provider.submitRefund(request({ providerPaymentId: URN }), () => true);
    expect(lines().filter((line) => line.includes('token'))).toHaveLength(2);
  });

  it('reads with all three filters, and once more after a 401', async () => {
    answers = (line) => (line.includes('token') ? TOKEN : { status: 401 });
    const paidAtMs = Date.parse('2026-02-20T12:00:00Z');
    const result = await efi().readPayment(request({ providerPaymentId: URN, paidAtMs }).payment, signal);
    expect(result).toMatchObject({ kind: 'unavailable', reason: 'authorization_required' });
    expect(lines()).toHaveLength(4);
    expect(last().line).toBe(
      `GET /v1/pagamentos/pix?inicio=2026-02-13&fim=2026-03-01&identificador=urn%3Aefi%3A${UUID}`,
    );
  });

  it('needs its certificate where the origin is https', () => {
    const definition = PROVIDERS.find((one) => one.name === 'efi') as ProviderDefinition;
    const parse = (file: Record<string, string>) =>
      definition.settings.safeParse({ EFI_CLIENT_ID: 'id', EFI_CLIENT_SECRET: 'secret', ...file });
    expect(parse({}).error?.issues).toMatchObject([{ path: ['EFI_CERTIFICATE_FILE'] }]);
    expect(parse({ EFI_CERTIFICATE_FILE: '/nowhere.p12' }).error?.issues).toMatchObject([
      { message: 'cannot be read' },
    ]);
  });
});

describe('Braspag on the wire', () => {
  const braspag = () =>
    create('braspag', {
      BRASPAG_BASE_URL: origin,
      BRASPAG_QUERY_URL: origin,
      BRASPAG_MERCHANT_ID: 'mid',
      BRASPAG_MERCHANT_KEY: 'mkey',
    });

  it('sends the void exactly: centavos in the query and no body', async () => {
    answers = () => ({ status: 200, body: '{"Status":2,"ReasonCode":8}' });
    expect(await braspag().submitRefund(request({}, { amountMinor: 1050 }), () => true)).toMatchObject({
      kind: 'accepted',
    });
    expect(last()).toMatchObject({ line: `PUT /v2/sales/${UUID}/void?amount=1050`, body: '' });
    expect(last().headers).toMatchObject({ merchantid: 'mid', merchantkey: 'mkey', 'content-length': '0' });
    expect(last().headers.requestid).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('reads the sale', async () => {
    answers = () => ({ status: 404 });
    expect(await braspag().readPayment(request({}).payment, signal)).toMatchObject({ kind: 'notFound' });
    expect(last()).toMatchObject({
      line: `GET /v2/sales/${UUID}`,
      headers: { merchantid: 'mid', merchantkey: 'mkey' },
    });
  });
});

describe('4Geeks on the wire', () => {
  const fourgeeks = () =>
    create('fourgeeks', { FOURGEEKS_BASE_URL: origin, FOURGEEKS_SECRET_KEY: 'sk_test_1' });
  const row = (id: string, amount = '10.50') => ({
    id,
    charge_id: 'C1',
    amount,
    status: 'succeeded',
    currency: 'usd',
  });

  it('sends the refund exactly', async () => {
    answers = () => ({ status: 201, body: JSON.stringify(row('r1')) });
    const asked = request({ providerPaymentId: 'C1' }, { amountMinor: 1050, reason: 'bank_error' });
    expect(await fourgeeks().submitRefund(asked, () => true)).toMatchObject({
      kind: 'done',
      providerRefundId: 'r1',
    });
    expect(last()).toMatchObject({
      line: 'POST /v1/refunds/',
      headers: {
        authorization: `Basic ${Buffer.from('sk_test_1:').toString('base64')}`,
        'content-type': 'application/json',
      },
      body: '{"charge_id":"C1","amount":10.50,"reason":"requested_by_customer"}',
    });
  });

  it('reads every page of the refunds, and the charge', async () => {
    answers = (line) => {
      if (line.includes('/payments/')) {
        return { status: 200, body: '{"amount":"30.00","currency":"usd","status":"succeeded"}' };
      }
      const offset = Number(new URL(line.split(' ')[1] ?? '', origin).searchParams.get('offset'));
      const items = [[row('r1'), row('r2')], [row('r3')]][offset / 2];
      return { status: 200, body: JSON.stringify({ items, total_items: 3, limit: 2, offset }) };
    };
    const result = await fourgeeks().readPayment(request({ providerPaymentId: 'C1' }).payment, signal);
    expect(result).toMatchObject({
      kind: 'found',
      snapshot: { complete: true, amountMinor: 3000, currency: 'USD', amountMayBeReduced: true },
    });
    expect(
      result.kind === 'found' && result.snapshot.refunds.map((refund) => refund.providerRefundId),
    ).toEqual(['r1', 'r2', 'r3']);
    expect(lines().sort()).toEqual([
      'GET /v1/payments/C1',
      'GET /v1/refunds/?charge_id=C1',
      'GET /v1/refunds/?charge_id=C1&limit=2&offset=2',
    ]);
  });

  it('is incomplete where pages repeat, and has no facts where the charge is closed to us', async () => {
    answers = (line) =>
      line.includes('/payments/')
        ? { status: 404 }
        : { status: 200, body: JSON.stringify({ items: [row('r1')], total_items: 3, limit: 1, offset: 0 }) };
    const result = await fourgeeks().readPayment(request({ providerPaymentId: 'C1' }).payment, signal);
    expect(result).toMatchObject({
      snapshot: { complete: false, amountMinor: null, status: 'refundable', providerStatus: 'unread' },
    });
  });
});

describe('Pagou on the wire', () => {
  const pagou = () => create('pagou', { PAGOU_BASE_URL: origin, PAGOU_API_KEY: 'new,old' });

  it('sends the refund exactly, as a DELETE with a body', async () => {
    answers = () => ({ status: 204 });
    const asked = request({}, { amountMinor: 5000, reason: 'bank_error', description: 'x'.repeat(300) });
    expect(await pagou().submitRefund(asked, () => true)).toMatchObject({ kind: 'accepted' });
    expect(last()).toMatchObject({
      line: `DELETE /v1/pix/${UUID}/refund`,
      headers: { 'x-api-key': 'new', 'content-type': 'application/json', 'user-agent': 'Estorno/1.0' },
      body: `{"amount":50.00,"reason":1,"description":"${'x'.repeat(255)}"}`,
    });
  });

  it('describes a refund by its id where it has no description', async () => {
    answers = () => ({ status: 204 });
    await pagou().submitRefund(request({}), () => true);
    expect(last().body).toBe('{"amount":0.10,"reason":3,"description":"rfd_1"}');
  });
});

describe('every provider', () => {
  const all = (at: string): RefundProvider[] => [
    create('picpay', { PICPAY_BASE_URL: at, PICPAY_CLIENT_ID: 'a', PICPAY_CLIENT_SECRET: 'b' }),
    create('efi', { EFI_BASE_URL: at, EFI_CLIENT_ID: 'a', EFI_CLIENT_SECRET: 'b' }),
    create('braspag', {
      BRASPAG_BASE_URL: at,
      BRASPAG_QUERY_URL: at,
      BRASPAG_MERCHANT_ID: 'a',
      BRASPAG_MERCHANT_KEY: 'b',
    }),
    create('fourgeeks', { FOURGEEKS_BASE_URL: at, FOURGEEKS_SECRET_KEY: 'a' }),
    create('pagou', { PAGOU_BASE_URL: at, PAGOU_API_KEY: 'a' }),
  ];

  it('sends no refund where beforeSend says no', async () => {
    answers = () => TOKEN;
    for (const provider of all(origin)) {
      expect(await provider.submitRefund(request({}), () => false)).toMatchObject({
        kind: 'notNow',
        reason: 'send_by_passed',
      });
    }
    expect(lines()).toEqual(['POST /oauth2/token', 'POST /v1/oauth/token']);
  });

  it('says notNow and unavailable where nobody listens', async () => {
    const nowhere = origin;
    await close();
    clients = createHttpClient({ timeoutMs: 2000 });
    for (const provider of all(nowhere)) {
      expect(await provider.submitRefund(request({}), () => true)).toMatchObject({
        kind: 'notNow',
        reason: 'provider_unavailable',
      });
      expect(await provider.readPayment(request({}).payment, signal)).toMatchObject({
        kind: 'unavailable',
        reason: 'provider_unavailable',
      });
    }
    close = () => clients.close();
  });

  it('sends a refund once and calls it unknown where the answer is a 500', async () => {
    answers = (line) => (line.includes('token') ? TOKEN : { status: 500 });
    for (const provider of all(origin)) {
      expect(await provider.submitRefund(request({}), () => true)).toMatchObject({ kind: 'unknown' });
    }
    expect(lines().filter((line) => !line.includes('token'))).toHaveLength(5);
  });
});
