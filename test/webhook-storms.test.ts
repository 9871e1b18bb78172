import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Fault } from '../simulators/faults.js';
import { assertBooks } from './setup/books.js';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

const SENDERS = ['efi', 'braspag', 'pagou'] as const;
type Sender = (typeof SENDERS)[number];

const AMOUNT = 3_300;
/** Seven without any delivery (measured), and room for few more, not for one a delivery. */
const READS_MAX = 14;
const FIVE_DAYS_MS = 5 * 86_400_000;

let service: Service;
beforeAll(async () => {
  service = await startService();
}, 60_000);
afterAll(async () => {
  await service.close();
}, 60_000);

describe('a webhook settles nothing by itself, and a refund once', () => {
  it(
    'duplicated tenfold at once',
    () =>
      atEach(async (sender) => {
        const { refundId, paymentId } = await ask(sender, {
          operation: 'submit',
          name: 'confirm_delay',
          ms: 3_500,
        });
        await refundWhen(service, refundId, isProcessing);
        const copy = delivery(sender, paymentId);
        expect(await Promise.all(Array.from({ length: 10 }, () => deliver(copy)))).toEqual(
          Array(10).fill(200),
        );
        const kept = await stored(copy);
        expect(kept).toMatchObject([{ provider_payment_id: paymentId }]);
        expect(kept[0]?.deliveries).toBeGreaterThanOrEqual(10);
        await expectSettledOnce(sender, refundId, paymentId);
      }),
    30_000,
  );

  it(
    'reordered: older news comes after newer',
    () =>
      atEach(async (sender) => {
        const { refundId, paymentId } = await ask(sender);
        await refundWhen(service, refundId, isProcessing);
        expect(await deliver(delivery(sender, paymentId, 'newer'))).toBe(200);
        expect(await deliver(delivery(sender, paymentId, 'older'))).toBe(200);
        await expectSettledOnce(sender, refundId, paymentId);
        expect(await deliver(delivery(sender, paymentId, 'older'))).toBe(200);
        await expectSettledOnce(sender, refundId, paymentId);
      }),
    30_000,
  );

  it(
    'before the provider did anything, while our call is held there',
    () =>
      atEach(async (sender) => {
        const { refundId, paymentId } = await ask(sender, { operation: 'submit', name: 'slow', ms: 500 });
        await until(() => callsAbout(sender, 'submit', paymentId).length > 0);
        expect(service.simulators.refundsOf(sender, paymentId)).toEqual([]);
        const early = delivery(sender, paymentId);
        expect([await deliver(early), await deliver(early)]).toEqual([200, 200]);
        await expectSettledOnce(sender, refundId, paymentId);
      }),
    30_000,
  );

  it(
    'before the answer to our call, which then never comes',
    () =>
      atEach(async (sender) => {
        const { refundId, paymentId } = await ask(sender, {
          operation: 'submit',
          name: 'timeout_after_effect',
        });
        const told = () => callsAbout(sender, 'webhook', paymentId).filter(({ status }) => status === 200);
        await until(() => told().length > 0);
        expect((await service.call('GET', `/v1/refunds/${refundId}`)).body.status).toBe('pending');
        await expectSettledOnce(sender, refundId, paymentId);
        expect(told()).toHaveLength(1);
      }),
    30_000,
  );

  it(
    'days late: Efí’s and Braspag’s change nothing, Pagou’s is refused',
    () =>
      atEach(async (sender) => {
        const { refundId, paymentId } = await ask(sender);
        const version = await expectSettledOnce(sender, refundId, paymentId);
        const sentMs = Date.now() - FIVE_DAYS_MS;
        const late = delivery(sender, paymentId, 'newer', sentMs);
        const sightings = { first_seen_at: new Date(sentMs), last_seen_at: new Date(sentMs) };
        await service.db
          .updateTable('webhook_inbox')
          .set(sightings)
          .where('provider_payment_id', '=', paymentId)
          .execute();
        expect(await deliver(late)).toBe(sender === 'pagou' ? 401 : 200);
        expect(await stored(late)).toHaveLength(sender === 'pagou' ? 0 : 1);
        // What comes after the end is followed by a reading of its own.
        await until(async () => (await stored(late)).every(({ matched_at }) => matched_at !== null));
        expect(await expectSettledOnce(sender, refundId, paymentId)).toBe(version);
      }),
    30_000,
  );

  it('left the trail unbroken and the books even', () => assertBooks(service.db));
});

describe('a delivery that concerns no refund of ours', () => {
  it('about an unknown payment is stored once, answered 200, and nothing is read', () =>
    atEach(async (sender) => {
      const paymentId = unknownId(sender);
      const stray = delivery(sender, paymentId);
      expect(await Promise.all([deliver(stray), deliver(stray), deliver(stray)])).toEqual([200, 200, 200]);
      expect(await stored(stray)).toMatchObject([{ deliveries: 3, provider_payment_id: paymentId }]);
      expect(readsOf(sender, paymentId)).toBe(0);
    }));

  it('with another secret, without one, or altered on its way: 401, nothing stored, nothing read', () =>
    atEach(async (sender) => {
      const { providerPaymentId: paymentId } = await registerPayment(service, sender, AMOUNT);
      const real = delivery(sender, paymentId);
      const forged = [
        delivery(sender, paymentId, 'newer', Date.now(), 'not-the-secret'),
        { ...real, headers: {}, search: '' },
        ...(sender === 'pagou' ? [{ ...real, body: `${real.body} ` }] : []),
      ];
      for (const each of forged) {
        expect(await deliver(each)).toBe(401);
        expect(await stored(each)).toEqual([]);
      }
      expect(readsOf(sender, paymentId)).toBe(0);
    }));

  it('malformed, but signed: 400, nothing stored', () =>
    atEach(async (sender) => {
      for (const body of ['{"cut": ', '', '[]', '"text"', 'null']) {
        const broken = signed(sender, body);
        expect([body, await deliver(broken)]).toEqual([body, 400]);
        expect(await stored(broken)).toEqual([]);
      }
    }));

  it('replayed under another timestamp, earlier or later: Pagou’s signature covers it, 401', async () => {
    const { providerPaymentId: paymentId } = await registerPayment(service, 'pagou', AMOUNT);
    const real = delivery('pagou', paymentId);
    for (const seconds of [-299, -1, 1, 299]) {
      const timestamp = String(Number(real.headers['x-pagou-timestamp']) + seconds);
      expect(await deliver({ ...real, headers: { ...real.headers, 'x-pagou-timestamp': timestamp } })).toBe(
        401,
      );
    }
    for (const atMs of [Date.now() - 305_000, Date.now() + 305_000]) {
      expect(await deliver(delivery('pagou', paymentId, 'newer', atMs))).toBe(401);
    }
    expect(await stored(real)).toEqual([]);
    expect(await deliver(real)).toBe(200);
  });
});

/** Side by side: what strikes one provider's next call leaves the others alone. */
async function atEach(run: (sender: Sender) => Promise<void>): Promise<void> {
  const ends = await Promise.allSettled(SENDERS.map(run));
  const failed = ends.flatMap((end, at) =>
    end.status === 'rejected' ? [new Error(`at ${SENDERS[at]}: ${String(end.reason)}`)] : [],
  );
  if (failed[0]) throw failed[0];
}

async function ask(sender: Sender, fault?: Fault): Promise<{ refundId: string; paymentId: string }> {
  const payment = await registerPayment(service, sender, AMOUNT);
  if (fault) await service.simulators.inject(sender, fault);
  const { status, body } = await service.call('POST', '/v1/refunds', {
    idempotencyKey: randomUUID(),
    body: { payment_id: payment.id, amount: AMOUNT, reason: 'requested_by_customer' },
  });
  expect(status).toBe(202);
  return { refundId: body.id, paymentId: payment.providerPaymentId };
}

/** @returns the refund's version, which only grows. */
async function expectSettledOnce(sender: Sender, refundId: string, paymentId: string): Promise<unknown> {
  const refund = await refundWhen(service, refundId, isFinal);
  expect(refund.status).toBe('succeeded');
  expect(service.simulators.refundsOf(sender, paymentId)).toMatchObject([{ amountMinor: AMOUNT }]);
  const submits = callsAbout(sender, 'submit', paymentId);
  expect(submits).toHaveLength(1);
  expect(readsOf(sender, paymentId)).toBeLessThanOrEqual(READS_MAX);
  const settlements = await service.db
    .selectFrom('refund_events')
    .select('id')
    .where('refund_id', '=', refundId)
    .where('type', '=', 'refund_succeeded')
    .execute();
  expect(settlements).toHaveLength(1);
  return refund['version'];
}

function readsOf(sender: Sender, paymentId: string): number {
  return callsAbout(sender, 'read', paymentId).length;
}

function callsAbout(sender: Sender, operation: 'submit' | 'read' | 'webhook', paymentId: string) {
  return service.simulators
    .callsOf(sender, operation)
    .filter(({ path, body }) => `${decodeURIComponent(path)} ${JSON.stringify(body)}`.includes(paymentId));
}

function isProcessing(refund: { readonly [member: string]: unknown }): boolean {
  return refund['pending_reason'] === 'provider_processing';
}

interface Delivery {
  readonly sender: Sender;
  readonly search: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** `newer` tells of the refund, `older` of what came before it. */
function delivery(
  sender: Sender,
  paymentId: string,
  news: 'newer' | 'older' = 'newer',
  atMs = Date.now(),
  secret?: string,
): Delivery {
  return signed(sender, JSON.stringify(BODIES[sender](paymentId, news === 'newer')), atMs, secret);
}

const BODIES: Readonly<Record<Sender, (paymentId: string, isNewer: boolean) => unknown>> = {
  efi: (paymentId, isNewer) => ({
    identificadorPagamento: paymentId,
    valor: '33.00',
    status: isNewer ? 'aceito' : 'pendente',
    tipo: isNewer ? 'devolucao' : 'pagamento',
  }),
  braspag: (paymentId, isNewer) => ({ PaymentId: paymentId, ChangeType: isNewer ? 2 : 1 }),
  pagou: (paymentId, isNewer) => ({
    event_name: isNewer ? 'qrcode.refunded' : 'qrcode.completed',
    data: { id: paymentId, amount: 33 },
  }),
};

function signed(sender: Sender, body: string, atMs = Date.now(), secret?: string): Delivery {
  const key = secret ?? service.simulators.env[SECRETS[sender]] ?? '';
  switch (sender) {
    case 'efi':
      return { sender, body, headers: {}, search: `?hmac=${encodeURIComponent(key)}` };
    case 'braspag':
      return { sender, body, headers: { 'x-webhook-secret': key }, search: '' };
    case 'pagou': {
      const timestamp = String(Math.floor(atMs / 1000));
      const signature = createHmac('sha256', key).update(timestamp).update(body).digest('hex');
      return {
        sender,
        body,
        headers: { 'x-pagou-timestamp': timestamp, 'x-pagou-signature': signature },
        search: '',
      };
    }
  }
}

const SECRETS: Readonly<Record<Sender, string>> = {
  efi: 'EFI_WEBHOOK_SECRET',
  braspag: 'BRASPAG_WEBHOOK_SECRET',
  pagou: 'PAGOU_API_KEY',
};

/** The status answered, within the second that the providers are promised. */
/** Once more where it could not be stored within a second, as the providers do. */
async function deliver(copy: Delivery): Promise<number> {
  const { sender, search, headers, body } = copy;
  const answer = await fetch(`${service.url}/v1/providers/${sender}/webhook${search}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
    signal: AbortSignal.timeout(5_000),
  });
  await answer.arrayBuffer();
  return answer.status === 503 ? deliver(copy) : answer.status;
}

function stored({ sender, body }: Delivery) {
  return service.db
    .selectFrom('webhook_inbox')
    .selectAll()
    .where('provider', '=', sender)
    .where('body', '=', Buffer.from(body))
    .execute();
}

function unknownId(sender: Sender): string {
  return sender === 'efi' ? `urn:nobody:${randomUUID()}` : randomUUID();
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}
