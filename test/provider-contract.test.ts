import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { findRefund, type Match } from '../src/domain/matching.js';
import type {
  PaymentReference,
  PaymentSnapshot,
  RefundProvider,
  SubmitOutcome,
  WebhookDelivery,
} from '../src/domain/provider.js';
import type { ProviderDefinition } from '../src/providers/definition.js';
import { createHttpClient, type HttpClients } from '../src/providers/http.js';
import { PROVIDERS } from '../src/providers/registry.js';
import type { SimulatedProvider } from '../simulators/book.js';
import { whyNot, type Fault } from '../simulators/faults.js';
import { startSimulators, type Simulators } from '../simulators/start.js';

const PAID_MINOR = 12_345;
/** Short, as some faults only end with it. */
const TIMEOUT_MS = 250;
const STATUSES = [408, 429, 500, 502, 503] as const;

let simulators: Simulators;
let clients: HttpClients;
/** For many calls at once, on whatever machine. */
let patientClients: HttpClients;
beforeAll(async () => {
  simulators = await startSimulators({ confirmDelayMs: 20 });
  clients = createHttpClient({ timeoutMs: TIMEOUT_MS });
  patientClients = createHttpClient({ timeoutMs: 10_000 });
});
afterEach(() => simulators.clearFaults());
afterAll(async () => {
  await Promise.all([clients.close(), patientClients.close()]);
  await simulators.close();
});

describe.each(PROVIDERS)('$title', (definition) => {
  const name = definition.name as SimulatedProvider;
  const { capabilities } = definition;
  const has = (fault: Pick<Fault, 'name' | 'operation'>): boolean => whyNot(name, fault) === null;
  const hasTokens = has({ operation: 'token', name: 'slow' });
  const whereItCan = (faults: readonly Fault[]) =>
    faults.filter(has).map((fault) => ({ fault, title: titleOf(fault) }));
  const success = capabilities.confirmation === 'response' ? 'done' : 'accepted';

  let provider: RefundProvider;
  beforeAll(() => {
    provider = create(definition);
  });
  const read = (payment: PaymentReference) => provider.readPayment(payment, new AbortController().signal);
  const snapshotOf = async (payment: PaymentReference): Promise<PaymentSnapshot> => {
    const answer = await read(payment);
    if (answer.kind !== 'found') throw new Error(JSON.stringify(answer));
    return answer.snapshot;
  };
  const shownAt = (payment: PaymentReference) =>
    simulators.refundsOf(name, payment.providerPaymentId).map(({ amountMinor }) => amountMinor);
  const submitsSeen = () => simulators.callsOf(name, 'submit').length;
  const match = (before: PaymentSnapshot, now: PaymentSnapshot, amountMinor: number, said?: SubmitOutcome) =>
    matchOf(before, now, amountMinor, { said, onlyOneRefund: capabilities.partials !== 'many' });

  /** Refunds, and reads until the provider shows the end of it. */
  const refundAndFind = async (payment: PaymentReference, amountMinor: number): Promise<Match> => {
    const before = await snapshotOf(payment);
    const said = await submit(provider, payment, amountMinor);
    expect(said).toMatchObject({ kind: success, providerStatus: expect.any(String) });
    for (;;) {
      const found = match(before, await snapshotOf(payment), amountMinor, said);
      if (found.kind !== 'found' || found.refund.status !== 'processing') return found;
    }
  };

  describe('a payment', () => {
    it('is read as it was paid', async () => {
      const payment = pay(definition);
      const snapshot = await snapshotOf(payment);
      expect(snapshot).toMatchObject({
        status: 'refundable',
        amountMinor: PAID_MINOR,
        currency: 'BRL',
        refunds: [],
        complete: true,
        amountMayBeReduced: expect.any(Boolean),
      });
      expect(Math.abs(snapshot.paidAtMs! - payment.paidAtMs!)).toBeLessThan(1_000);
      expect(capabilities.methods).toContain(snapshot.method ?? capabilities.defaultMethod);
    });

    it('that nobody knows has no amount to refund', async () => {
      const unknown = another(pay(definition));
      const answer = await read(unknown);
      expect(answer.kind === 'found' ? answer.snapshot.amountMinor : answer.kind).toBe(
        answer.kind === 'found' ? null : 'notFound',
      );
      expect(await submit(provider, unknown, 1)).toMatchObject({ kind: 'declined' });
    });

    it.each(['unpaid', 'canceled', 'failed'] as const)(
      'that is %s is not refundable and not refunded',
      async (status) => {
        const payment = pay(definition, { status });
        const answer = await read(payment);
        if (answer.kind === 'found') expect(answer.snapshot.status).toBe('notRefundable');
        expect(await submit(provider, payment, 1)).toMatchObject({ kind: 'declined' });
        expect(shownAt(payment)).toEqual([]);
      },
    );
  });

  describe('a refund', () => {
    it('of everything is asked for once and then found', async () => {
      const payment = pay(definition);
      const seen = submitsSeen();
      expect(await refundAndFind(payment, PAID_MINOR)).toMatchObject({
        kind: 'found',
        refund: { status: 'succeeded', amountMinor: PAID_MINOR },
      });
      expect(submitsSeen() - seen).toBe(1);
      expect(shownAt(payment)).toEqual([PAID_MINOR]);
      expect(await submit(provider, payment, 1)).toMatchObject({ kind: 'declined', mayBeOurs: true });
      expect(shownAt(payment)).toEqual([PAID_MINOR]);
    });

    it.each([1, 10, 99, 100, 1_050, 12_300, 99_999_999])(
      'of %d centavos arrives as that and is read as that',
      async (amountMinor) => {
        const payment = pay(definition, { amountMinor: 100_000_000 });
        expect(await refundAndFind(payment, amountMinor)).toMatchObject({
          kind: 'found',
          refund: { amountMinor },
        });
        expect(shownAt(payment)).toEqual([amountMinor]);
      },
    );

    it(`of a part leaves room for ${capabilities.partials === 'many' ? 'more, equal ones too' : 'none'}`, async () => {
      const payment = pay(definition);
      const parts = capabilities.partials === 'many' ? [5_000, 5_000, 2_000] : [5_000];
      for (const part of parts) {
        expect(await refundAndFind(payment, part)).toMatchObject({
          kind: 'found',
          refund: { status: 'succeeded', amountMinor: part },
        });
      }
      const rest = PAID_MINOR - parts.reduce((sum, part) => sum + part, 0);
      const more = capabilities.partials === 'many' ? rest + 1 : 1;
      expect(await submit(provider, payment, more)).toMatchObject({ kind: 'declined' });
      expect(shownAt(payment)).toEqual(parts);
    });

    it('whose time to send has passed is never sent', async () => {
      const payment = pay(definition);
      const seen = submitsSeen();
      let asked = 0;
      const outcome = await submit(provider, payment, 1, () => {
        asked += 1;
        return false;
      });
      expect(outcome).toMatchObject({ kind: 'notNow', reason: 'send_by_passed' });
      expect([asked, submitsSeen() - seen, shownAt(payment)]).toEqual([1, 0, []]);
    });

    it(`under a key that was used is ${capabilities.idempotentSubmit ? 'the same refund' : 'another refund or refused: nobody may rely on the key'}`, async () => {
      const payment = pay(definition);
      const request = requestFor(payment, 1_000);
      const outcomes = [
        await provider.submitRefund(request, () => true),
        await provider.submitRefund(request, () => true),
      ];
      expect(outcomes[0]).toMatchObject({ kind: success });
      if (capabilities.idempotentSubmit) {
        expect(outcomes[1]).toEqual(outcomes[0]);
        expect(shownAt(payment)).toEqual([1_000]);
      } else {
        expect(shownAt(payment)).toHaveLength(outcomes[1]!.kind === success ? 2 : 1);
      }
    });
  });

  describe('a call whose answer says nothing sure is unknown, and is made once', () => {
    const unclear = whereItCan([
      { operation: 'submit', name: 'reset_before_effect' },
      { operation: 'submit', name: 'reset_after_effect' },
      { operation: 'submit', name: 'timeout_before_effect' },
      { operation: 'submit', name: 'timeout_after_effect' },
      ...STATUSES.flatMap((status): Fault[] => [
        { operation: 'submit', name: 'status_before_effect', status },
        { operation: 'submit', name: 'status_after_effect', status },
      ]),
      { operation: 'submit', name: 'cut_body' },
      { operation: 'submit', name: 'html', status: 502, effect: false },
      { operation: 'submit', name: 'html', status: 502, effect: true },
      { operation: 'submit', name: 'html', status: 200, effect: false },
      { operation: 'submit', name: 'late_effect', ms: 1 },
      { operation: 'submit', name: 'unknown_status' },
    ]);
    it.each(unclear)('$title', async ({ fault }) => {
      const payment = pay(definition);
      const seen = submitsSeen();
      await simulators.inject(name, fault);
      expect(await submit(provider, payment, 1_000)).toMatchObject({
        kind: 'unknown',
        error: { code: expect.any(String) },
      });
      expect(submitsSeen() - seen).toBe(1);
    });

    it('and says when a repeat may come at the earliest, where the provider does', async () => {
      await simulators.inject(name, {
        operation: 'submit',
        name: 'status_before_effect',
        status: 503,
        retryAfter: 7,
      });
      expect(await submit(provider, pay(definition), 1)).toMatchObject({
        kind: 'unknown',
        retryAfterMs: 7_000,
      });
    });
  });

  describe('a call that cannot have moved money says so', () => {
    it('where nobody listens', async () => {
      const fresh = create(definition, patientClients);
      const payment = pay(definition);
      await simulators.inject(name, { operation: 'submit', name: 'down' });
      expect(await submit(fresh, payment, 1)).toMatchObject({
        kind: 'notNow',
        reason: 'provider_unavailable',
      });
      await simulators.clearFaults(name);
      expect(shownAt(payment)).toEqual([]);
      expect(await submit(fresh, payment, 1)).toMatchObject({ kind: success });
    });

    if (has({ operation: 'submit', name: 'insufficient_balance' })) {
      it('where the account is empty', async () => {
        const payment = pay(definition);
        await simulators.inject(name, { operation: 'submit', name: 'insufficient_balance' });
        expect(await submit(provider, payment, 1)).toMatchObject({
          kind: 'notNow',
          reason: 'insufficient_balance',
        });
        expect(shownAt(payment)).toEqual([]);
      });
    }

    it('where it is declined', async () => {
      const payment = pay(definition);
      await simulators.inject(name, { operation: 'submit', name: 'declined' });
      expect(await submit(provider, payment, 1)).toMatchObject({
        kind: 'declined',
        error: { code: expect.stringMatching(/./) },
      });
      expect(shownAt(payment)).toEqual([]);
    });

    it(`where our credentials are refused: ${capabilities.idempotentSubmit ? 'one repeat under the same key' : 'no repeat'}`, async () => {
      const payment = pay(definition);
      const seen = submitsSeen();
      await simulators.inject(name, { operation: 'submit', name: 'token_expired' });
      const outcome = await submit(provider, payment, 1);
      if (capabilities.idempotentSubmit) {
        expect(outcome).toMatchObject({ kind: success });
        expect([submitsSeen() - seen, shownAt(payment)]).toEqual([2, [1]]);
      } else {
        expect(outcome).toMatchObject({ kind: 'notNow', reason: 'authorization_required' });
        expect([submitsSeen() - seen, shownAt(payment)]).toEqual([1, []]);
      }
    });

    const withoutToken = whereItCan([
      { operation: 'token', name: 'reset_before_effect' },
      { operation: 'token', name: 'timeout_before_effect' },
      { operation: 'token', name: 'status_before_effect', status: 503 },
      { operation: 'token', name: 'cut_body' },
      { operation: 'token', name: 'html', status: 200 },
    ]);
    if (hasTokens) {
      it.each(withoutToken)('where there is no token to be had: $title', async ({ fault }) => {
        const payment = pay(definition);
        const seen = submitsSeen();
        await simulators.inject(name, fault);
        expect(await submit(create(definition), payment, 1)).toMatchObject({
          kind: 'notNow',
          reason: 'provider_unavailable',
        });
        expect(submitsSeen() - seen).toBe(0);
      });
    }
  });

  describe('a reading under a fault is no reading, and the next one is whole', () => {
    // Twice: a provider may need two requests for one reading.
    const faults = whereItCan([
      { operation: 'read', name: 'reset_before_effect', times: 2 },
      { operation: 'read', name: 'timeout_before_effect', times: 2 },
      ...STATUSES.map((status): Fault => ({
        operation: 'read',
        name: 'status_before_effect',
        status,
        times: 2,
      })),
      { operation: 'read', name: 'cut_body', times: 2 },
      { operation: 'read', name: 'html', status: 200, times: 2 },
      { operation: 'read', name: 'html', status: 502, times: 2 },
      { operation: 'read', name: 'down' },
    ]);
    it.each(faults)('$title', async ({ fault }) => {
      const payment = pay(definition);
      await simulators.inject(name, fault);
      expect((await read(payment)).kind).toMatch(/^(unavailable|unreadable)$/);
      await simulators.clearFaults(name);
      expect(await snapshotOf(payment)).toMatchObject({ status: 'refundable', amountMinor: PAID_MINOR });
    });

    it('with a word that no document lists is never taken for another', async () => {
      const payment = pay(definition);
      await simulators.inject(name, { operation: 'read', name: 'unknown_status', times: 2 });
      expect(await snapshotOf(payment)).toMatchObject({ status: 'unknown', amountMinor: PAID_MINOR });
    });

    it('that is stale shows no refund that it lacks', async () => {
      const payment = pay(definition);
      const before = await snapshotOf(payment);
      const said = await submit(provider, payment, PAID_MINOR);
      await simulators.inject(name, { operation: 'read', name: 'stale_read', times: 2 });
      const stale = match(before, await snapshotOf(payment), PAID_MINOR, said);
      expect(['absent', 'incomplete']).toContain(stale.kind);
    });

    it('with refused credentials gets new ones where there are any, else says that they are refused', async () => {
      const payment = pay(definition);
      await snapshotOf(payment);
      await simulators.inject(name, { operation: 'read', name: 'token_expired' });
      const answer = await read(payment);
      expect(answer).toMatchObject(
        hasTokens ? { kind: 'found' } : { kind: 'unavailable', reason: 'authorization_required' },
      );
    });
  });

  it('needs one token at most for twenty readings at once', async () => {
    const fresh = create(definition, patientClients);
    const payment = pay(definition);
    const before = simulators.callsOf(name, 'token').length;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => fresh.readPayment(payment, new AbortController().signal)),
    );
    expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['found']));
    expect(simulators.callsOf(name, 'token').length - before).toBe(hasTokens ? 1 : 0);
  });

  if (!definition.sendsWebhooks) {
    it('has no webhooks', () => {
      expect(provider.webhook).toBeNull();
    });
    return;
  }

  describe('a webhook', () => {
    let delivery: WebhookDelivery;
    let payment: PaymentReference;
    beforeAll(async () => {
      payment = pay(definition);
      delivery = await deliveryOf(name, payment.providerPaymentId);
    });
    const isGenuine = (changed: Partial<WebhookDelivery>) =>
      provider.webhook?.verifyWebhook({ ...delivery, ...changed }, Date.now());

    it('that the provider sends is genuine and names its payment', () => {
      expect(isGenuine({})).toBe(true);
      expect(provider.webhook?.parseWebhook(delivery.rawBody)).toEqual({
        kind: 'hint',
        providerPaymentId: payment.providerPaymentId,
      });
    });

    it('without its proof, or with another, is not genuine', () => {
      expect(isGenuine({ headers: {}, query: {} })).toBe(false);
      expect(isGenuine({ headers: altered(delivery.headers), query: altered(delivery.query) })).toBe(false);
    });

    it.each(['', 'not json', '[]', '"text"', '<html></html>'])('of %j is malformed', (text) => {
      expect(provider.webhook?.parseWebhook(Buffer.from(text))).toMatchObject({ kind: 'malformed' });
    });
  });
});

/** As the service builds it, from the settings that reach the simulators. */
function create(definition: ProviderDefinition, createHttpClient = clients): RefundProvider {
  const stored = new Map<string, string>();
  return definition.create(definition.settings.parse(simulators.env), {
    createHttpClient,
    timeoutMs: TIMEOUT_MS,
    nowMs: () => Date.now(),
    credentialStore: {
      rotateCredential: async (owner, rotate) => {
        const { next, value } = await rotate(stored.get(owner) ?? null);
        if (next !== null) stored.set(owner, next);
        return value;
      },
    },
    log: { warn: () => undefined },
  });
}

function pay(
  definition: ProviderDefinition,
  wanted: { amountMinor?: number; status?: 'unpaid' | 'canceled' | 'failed' } = {},
): PaymentReference {
  const made = simulators.createPayment(definition.name as SimulatedProvider, {
    amountMinor: PAID_MINOR,
    ...wanted,
  });
  return {
    providerPaymentId: definition.canonicalPaymentId(made.providerPaymentId)!,
    providerPaymentReference: made.providerPaymentReference ?? null,
    paymentId: null,
    paidAtMs: Date.parse(made.paidAt),
  };
}

/** Of the same form, but nobody's. */
function another(payment: PaymentReference): PaymentReference {
  const last = payment.providerPaymentId.at(-1) === '0' ? '1' : '0';
  return {
    ...payment,
    providerPaymentId: payment.providerPaymentId.slice(0, -1) + last,
    providerPaymentReference: null,
  };
}

let serial = 0;

function requestFor(
  payment: PaymentReference,
  amountMinor: number,
): Parameters<RefundProvider['submitRefund']>[0] {
  serial += 1;
  return {
    payment,
    refundId: `rfd_${serial}`,
    amountMinor,
    currency: 'BRL',
    reason: 'requested_by_customer',
    description: null,
    idempotencyKey: `rfd-${serial}-1`,
  };
}

function submit(
  provider: RefundProvider,
  payment: PaymentReference,
  amountMinor: number,
  beforeSend: () => boolean = () => true,
): Promise<SubmitOutcome> {
  return provider.submitRefund(requestFor(payment, amountMinor), beforeSend);
}

function matchOf(
  before: PaymentSnapshot,
  now: PaymentSnapshot,
  amountMinor: number,
  { said, onlyOneRefund }: { said: SubmitOutcome | undefined; onlyOneRefund: boolean },
): Match {
  return findRefund(
    {
      amountMinor,
      before,
      providerRefundId: said && 'providerRefundId' in said ? said.providerRefundId : null,
      accepted: said?.kind === 'accepted',
      onlyOneRefund,
    },
    now,
    { claimedIds: new Set(), landedSinceMinor: [], landedAroundMinor: [], anotherIsOpen: false },
  );
}

/** What the provider really sends about a payment, as the front door would get it. */
async function deliveryOf(name: SimulatedProvider, providerPaymentId: string): Promise<WebhookDelivery> {
  const received: WebhookDelivery[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://receiver');
      const headers = Object.entries(request.headers).map(([header, value]) => [header, String(value)]);
      received.push({
        rawBody: Buffer.concat(chunks),
        headers: Object.fromEntries(headers) as Record<string, string>,
        query: Object.fromEntries(url.searchParams),
      });
      response.writeHead(200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  simulators.setWebhookTarget(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  expect(await simulators.sendWebhook(name, providerPaymentId)).toEqual([200]);
  simulators.setWebhookTarget(null);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return received[0]!;
}

function altered(values: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value = '']) => [
      name,
      value.slice(0, -1) + (value.endsWith('0') ? '1' : '0'),
    ]),
  );
}

function titleOf(fault: Fault): string {
  const members = Object.entries(fault).filter(([member]) => member !== 'operation' && member !== 'times');
  return members.map(([, value]) => String(value)).join(' ');
}
