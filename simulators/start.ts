import { randomBytes, randomUUID } from 'node:crypto';
import { Agent, request } from 'undici';
import { Bank, type NewPayment } from './bank.js';
import {
  Book,
  type CallOperation,
  type RefundState,
  type SimulatedCall,
  type SimulatedPayment,
  type SimulatedProvider,
  type SimulatedRefund,
} from './book.js';
import { createBraspag } from './braspag.js';
import { createEfi } from './efi.js';
import { faultSchema, Faults, whyNot, type DownFault, type Fault } from './faults.js';
import { createFourgeeks } from './fourgeeks.js';
import { Listener, serveProvider, type ProviderSimulator } from './listener.js';
import { createPagou } from './pagou.js';
import { createPicpay } from './picpay.js';
import { IdSource } from './wire.js';

const WEBHOOK_TIMEOUT_MS = 5_000;

export interface SimulatorOptions {
  /** Where the book is kept (`simulators/book.jsonl` in it); in memory where absent. */
  readonly dataDir?: string;
  /** From the acceptance of a refund to its confirmation, where the two differ. Default 300. */
  readonly confirmDelayMs?: number;
  /** Makes the ids of payments and refunds repeatable; keys are always random. */
  readonly seed?: string | number;
  /** The `env` of an earlier start: the same credentials again, and the same ports where nobody took them meanwhile. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface CreatedPayment {
  readonly provider: SimulatedProvider;
  readonly providerPaymentId: string;
  /** PicPay's `reference_id`. */
  readonly providerPaymentReference?: string;
  /** PicPay: a refresh token of the payment's own user, good for one use. */
  readonly refreshToken?: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly method: SimulatedPayment['method'];
  readonly paidAt: string;
}

export interface Simulators {
  /** By provider, and `braspag_query`. */
  readonly origins: Readonly<Record<SimulatedProvider | 'braspag_query', string>>;
  /** The service's settings that reach these simulators: origins, credentials, webhook secrets. */
  readonly env: Readonly<Record<string, string>>;
  createPayment(provider: SimulatedProvider, wanted: NewPayment): CreatedPayment;
  payments(provider?: SimulatedProvider): readonly SimulatedPayment[];
  refunds(provider?: SimulatedProvider): readonly SimulatedRefund[];
  /** Oldest first; pending, rejected and panel ones included. */
  refundsOf(provider: SimulatedProvider, providerPaymentId: string): readonly SimulatedRefund[];
  /** Every request seen, in order, without secrets; `webhook` are those sent. */
  callsOf(provider: SimulatedProvider, operation?: CallOperation): readonly SimulatedCall[];
  /** @throws RangeError for a fault that this provider's document leaves no room for. */
  inject(provider: SimulatedProvider, fault: Fault): Promise<void>;
  /** Forgets waiting faults and opens closed listeners. */
  clearFaults(provider?: SimulatedProvider): Promise<void>;
  addPanelRefund(
    provider: SimulatedProvider,
    providerPaymentId: string,
    amountMinor: number,
  ): SimulatedRefund;
  setRefundStatus(
    provider: SimulatedProvider,
    providerPaymentId: string,
    refundId: string,
    status: RefundState,
  ): SimulatedRefund;
  /** PicPay: a refresh token that reaches every payment, for `PICPAY_REFRESH_TOKEN`. */
  issueRefreshToken(): string;
  /** The base URL of the service; null sends no webhooks. */
  setWebhookTarget(url: string | null): void;
  /** Sends the webhook about the newest refund (or the payment); the statuses answered, 0 for no answer. */
  sendWebhook(
    provider: SimulatedProvider,
    providerPaymentId: string,
    options?: { readonly times?: number | undefined },
  ): Promise<number[]>;
  close(): Promise<void>;
}

/** Starts the doubles of all five providers on loopback. */
export async function startSimulators(options: SimulatorOptions = {}): Promise<Simulators> {
  const book = new Book(options.dataDir ?? null);
  const seed = options.seed === undefined ? undefined : `${options.seed}:${book.lineCount}`;
  const faults = new Faults();
  const agent = new Agent();
  const webhooksUnderWay = new Set<Promise<unknown>>();
  let webhookTarget: string | null = null;

  const announce = (refund: SimulatedRefund): void => {
    const sent = deliver(refund.provider, refund.providerPaymentId, refund);
    webhooksUnderWay.add(sent);
    void sent.finally(() => webhooksUnderWay.delete(sent));
  };
  const bank = new Bank(
    book,
    new IdSource(seed),
    options.confirmDelayMs ?? 300,
    (provider) => faults.takeFate(provider),
    announce,
  );
  const keep = (setting: string): string => options.env?.[setting] ?? newCredential(setting);
  const picpay = createPicpay(bank, keep);
  const providers: Record<SimulatedProvider, ProviderSimulator> = {
    picpay,
    efi: createEfi(bank, keep),
    braspag: createBraspag(bank, keep),
    fourgeeks: createFourgeeks(bank, keep),
    pagou: createPagou(bank, keep),
  };

  const listeners: { provider: SimulatedProvider; setting: string; listener: Listener }[] = [];
  for (const provider of Object.values(providers)) {
    for (const [setting, routes] of Object.entries(provider.routes)) {
      const port = Number(new URL(options.env?.[setting] ?? 'http://127.0.0.1').port);
      const listener = await openAt(port, serveProvider(provider, routes, faults, bank));
      listeners.push({ provider: provider.name, setting, listener });
    }
  }
  const env: Record<string, string> = {};
  for (const provider of Object.values(providers)) Object.assign(env, provider.settings);
  for (const { setting, listener } of listeners) env[setting] = listener.origin;
  bank.resume();

  function paymentOf(provider: SimulatedProvider, providerPaymentId: string): SimulatedPayment {
    const payment = book.payment(provider, providerPaymentId);
    if (!payment) throw new RangeError(`no payment ${providerPaymentId} at ${provider}`);
    return payment;
  }

  /** Never throws: a receiver that is away is a status 0. */
  async function deliver(
    provider: SimulatedProvider,
    providerPaymentId: string,
    refund: SimulatedRefund | null,
  ): Promise<number> {
    const webhook = providers[provider].webhook?.(paymentOf(provider, providerPaymentId), refund);
    if (!webhook || webhookTarget === null) return 0;
    const path = `/v1/providers/${provider}/webhook`;
    let status = 0;
    try {
      const response = await request(`${webhookTarget}${path}${webhook.search}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...webhook.headers },
        body: webhook.body,
        dispatcher: agent,
        signal: AbortSignal.timeout(WEBHOOK_TIMEOUT_MS),
      });
      await response.body.dump();
      status = response.statusCode;
    } catch {
      // Providers try again much later; the service must not need it.
    }
    const body: unknown = JSON.parse(webhook.body);
    book.writeCall({
      provider,
      operation: 'webhook',
      method: 'POST',
      path,
      headers: {},
      body,
      atMs: Date.now(),
      status,
    });
    return status;
  }

  async function takeDown(provider: SimulatedProvider, fault: DownFault): Promise<void> {
    const own = listeners.filter((each) => each.provider === provider);
    const hit = own.filter(({ setting }) =>
      providers[provider].routes[setting]?.some((route) => route.operation === fault.operation),
    );
    await Promise.all(hit.map(({ listener }) => listener.down()));
    if (fault.ms !== undefined) bank.later(fault.ms, () => hit.forEach(({ listener }) => void listener.up()));
  }

  const origin = (setting: string): string => env[setting] ?? '';
  return {
    origins: {
      picpay: origin('PICPAY_BASE_URL'),
      efi: origin('EFI_BASE_URL'),
      braspag: origin('BRASPAG_BASE_URL'),
      braspag_query: origin('BRASPAG_QUERY_URL'),
      fourgeeks: origin('FOURGEEKS_BASE_URL'),
      pagou: origin('PAGOU_BASE_URL'),
    },
    env,
    createPayment(provider, wanted) {
      const payment = bank.createPayment(provider, wanted);
      return {
        provider,
        providerPaymentId: payment.providerPaymentId,
        ...(payment.providerPaymentReference === null
          ? {}
          : {
              providerPaymentReference: payment.providerPaymentReference,
              refreshToken: picpay.issueRefreshToken(payment.providerPaymentId),
            }),
        amountMinor: payment.amountMinor,
        currency: payment.currency,
        method: payment.method,
        paidAt: new Date(payment.paidAtMs).toISOString(),
      };
    },
    payments: (provider) => book.payments(provider),
    refunds: (provider) => book.refunds(provider),
    refundsOf: (provider, providerPaymentId) => book.refundsOf(provider, providerPaymentId),
    callsOf: (provider, operation) => book.callsOf(provider, operation),
    async inject(provider, wanted) {
      const fault = faultSchema.parse(wanted);
      const obstacle = whyNot(provider, fault);
      if (obstacle !== null) {
        throw new RangeError(`${fault.name} on ${fault.operation} at ${provider}: ${obstacle}`);
      }
      if (fault.name === 'down') return takeDown(provider, fault);
      faults.add(provider, fault);
    },
    async clearFaults(provider) {
      faults.clear(provider);
      const own = listeners.filter((each) => provider === undefined || each.provider === provider);
      await Promise.all(own.map(({ listener }) => listener.up()));
    },
    addPanelRefund: (provider, providerPaymentId, amountMinor) =>
      bank.addPanelRefund(paymentOf(provider, providerPaymentId), amountMinor),
    setRefundStatus(provider, providerPaymentId, refundId, status) {
      const refund = book.refundsOf(provider, providerPaymentId).find((each) => each.id === refundId);
      if (!refund) throw new RangeError(`no refund ${refundId} of ${providerPaymentId} at ${provider}`);
      return bank.setRefundStatus(refund, status);
    },
    issueRefreshToken: () => picpay.issueRefreshToken(null),
    setWebhookTarget(url) {
      webhookTarget = url === null ? null : url.replace(/\/$/, '');
    },
    async sendWebhook(provider, providerPaymentId, { times = 1 } = {}) {
      if (!providers[provider].webhook) throw new RangeError(`${provider} has no webhooks`);
      const refund = book.refundsOf(provider, providerPaymentId).at(-1) ?? null;
      const statuses: number[] = [];
      for (let sent = 0; sent < times; sent += 1) {
        statuses.push(await deliver(provider, providerPaymentId, refund));
      }
      return statuses;
    },
    async close() {
      bank.close();
      await Promise.all(listeners.map(({ listener }) => listener.down()));
      await Promise.all(webhooksUnderWay);
      await agent.close();
      book.close();
    },
  };
}

/** Kept ports are not ours while nothing runs: one that somebody took meanwhile is given up for a free one. */
async function openAt(port: number, serve: Parameters<typeof Listener.open>[1]): Promise<Listener> {
  try {
    return await Listener.open(port, serve);
  } catch (error) {
    if (port === 0 || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return Listener.open(0, serve);
  }
}

/** Braspag fixes the lengths of its two; the others are opaque. */
function newCredential(setting: string): string {
  switch (setting) {
    case 'BRASPAG_MERCHANT_ID':
      return randomUUID();
    case 'BRASPAG_MERCHANT_KEY':
      return randomBytes(20).toString('hex').toUpperCase();
    case 'FOURGEEKS_SECRET_KEY':
      return `sk_test_${randomBytes(16).toString('hex')}`;
    default:
      return randomBytes(24).toString('hex');
  }
}
