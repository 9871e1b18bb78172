import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { AdmissionVerdict, RefundStart } from '../../activities/interface.js';
import { createApp } from '../../src/api/app.js';
import type { ApiDeps, ConfiguredProvider } from '../../src/api/deps.js';
import type { RefundEngine } from '../../src/api/refund-engine.js';
import type { BrokenRule } from '../../src/domain/eligibility.js';
import type { PaymentRead, ProviderWebhook } from '../../src/domain/provider.js';
import { openDatabase, type Database } from '../../src/ledger/database.js';
import { createApiKey, type Role } from '../../src/ledger/keys.js';
import { NEWEST_MIGRATION } from '../../src/ledger/readiness.js';
import { PROVIDERS } from '../../src/providers/registry.js';
import type { RefundHints } from '../../workflows/start-options.js';
import { frontDoorKeys } from './front-door-keys.js';
import { createTestDatabase } from './real-parts.js';

export const NOW_MS = Date.parse('2026-03-10T12:00:00Z');
const DAY_MS = 86_400_000;
export const PIX_ID = 'f3b1a9b0-1c7e-4f8e-9a64-0d3f1f6b2c11';

/** The engine as a test wants it: what it was asked, and what it answers. */
export interface FakeEngine extends RefundEngine {
  readonly asked: { start: RefundStart; proof: string | undefined; hints: RefundHints }[];
  readonly hinted: { refundId: string; source: string }[];
  /** Ids of reconciliations and of payments, in order. */
  readonly reconciled: string[];
  answer: (start: RefundStart) => Promise<AdmissionVerdict>;
  onHint: (refundId: string) => Promise<void>;
  isReady: boolean;
}

export interface FrontDoor {
  readonly app: NestFastifyApplication;
  readonly origin: string;
  readonly db: Database;
  readonly engine: FakeEngine;
  /** What a provider shows when it is asked; by default it is unreachable. */
  readonly shown: Map<string, PaymentRead>;
  readonly logged: unknown[];
  call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, options?: CallOptions): Promise<Answer>;
  key(...roles: Role[]): Promise<string>;
  close(): Promise<void>;
}

export interface CallOptions {
  /** Text as it is, all else as JSON. */
  readonly body?: unknown;
  /** Null: none is sent. */
  readonly key?: string | null;
  readonly headers?: Record<string, string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly text: string;
  /** Empty where the text is no JSON. */
  readonly body: AnswerBody;
}

/** The members that tests look into; the document of the API says which answer has which. */
export interface AnswerBody {
  readonly id: string;
  readonly object: string;
  readonly type: string;
  readonly code: string;
  readonly errors: readonly { readonly pointer: string; readonly detail: string; readonly code?: string }[];
  readonly retryable: boolean;
  readonly data: readonly AnswerBody[];
  readonly has_more: boolean;
  readonly amount: number;
  readonly amount_reserved: number;
  readonly refund_deadline: string | null;
  readonly version: number;
  readonly eligible: boolean;
  readonly provider_read: string;
  readonly rules: readonly { readonly code: string }[];
  readonly checks: Readonly<Record<string, string>>;
}

/** The API over a database of its own, with providers that answer from memory and an engine that is asked nothing real. */
export async function openFrontDoor({
  config: configured = {},
  ...overrides
}: Partial<Omit<ApiDeps, 'config'>> & {
  off?: readonly string[];
  config?: Partial<ApiDeps['config']>;
} = {}): Promise<FrontDoor> {
  const database = await createTestDatabase();
  const db = openDatabase(database.url, { poolMax: 4 });
  const engine = createFakeEngine();
  const shown = new Map<string, PaymentRead>();
  const logged: unknown[] = [];
  const note = (fields: unknown) => void logged.push(fields);
  const app = await createApp({
    db,
    config: {
      payloadKeys: { keys: [{ id: 'k1', secret: Buffer.alloc(32, 7) }] },
      frontDoorKeys,
      identity: null,
      rateLimit: { perSecond: 1_000, burst: 10_000 },
      ...configured,
    },
    policy: {
      approval: { rules: [], expiresAfterMs: 7 * DAY_MS, remindEveryMs: DAY_MS, escalateAfterMs: 3 * DAY_MS },
      limits: { dailyByActorMinor: null, dailyByProviderMinor: null },
      window: { pixDays: 90, pixWithdrawalMinutes: 60, timeZone: 'America/Sao_Paulo', safetyMinutes: 10 },
    },
    providers: configuredProviders(shown, overrides.off ?? []),
    engine,
    newestMigration: NEWEST_MIGRATION,
    nowMs: () => NOW_MS,
    log: { info: note, warn: note, error: note },
    metrics: { answered: () => undefined, expose: async () => '' },
    ...overrides,
  });
  await app.listen(0, '127.0.0.1');
  const origin = await app.getUrl();
  const key = async (...roles: Role[]) =>
    (await createApiKey(db, { actor: 'ana', roles, nowMs: NOW_MS })).key;
  const ownKey = await key('requester');
  return {
    app,
    origin,
    db,
    engine,
    shown,
    logged,
    key,
    call: async (method, path, options = {}) => {
      const answer = await fetch(origin + path, {
        method,
        headers: {
          ...(options.key === null ? {} : { authorization: `Bearer ${options.key ?? ownKey}` }),
          ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...options.headers,
        },
        ...(options.body === undefined ? {} : { body: bodyOf(options.body) }),
      });
      const headers = Object.fromEntries(answer.headers);
      const text = await answer.text();
      const isJson = /json/.test(headers['content-type'] ?? '');
      return { status: answer.status, headers, text, body: (isJson ? JSON.parse(text) : {}) as AnswerBody };
    },
    close: async () => {
      await app.close();
      await db.destroy();
      await database.drop();
    },
  };
}

/** As the workflow's admission leaves it: the key's outcome, and the refund where it was admitted. */
export async function storeOutcome(
  db: Database,
  start: RefundStart,
  outcome: { paymentId: string; amountMinor: number } | { refusal: readonly BrokenRule[] },
): Promise<void> {
  if ('paymentId' in outcome) {
    await storeRefund(db, { id: start.refundId, ...outcome, reference: start.request.reference });
  }
  await db
    .insertInto('idempotency')
    .values({
      actor: start.actor,
      key: start.idempotencyKey,
      fingerprint: start.fingerprint,
      refund_id: start.refundId,
      refusal: 'refusal' in outcome ? JSON.stringify(outcome.refusal) : null,
      admitting_run_id: 'run-1',
      first_ask_id: start.askId,
      created_at: new Date(NOW_MS),
    })
    .execute();
}

export async function storeRefund(
  db: Database,
  refund: {
    id: string;
    paymentId: string;
    amountMinor: number;
    reference?: string | null;
    createdAtMs?: number;
  },
): Promise<void> {
  const payment = await db
    .updateTable('payments')
    .set((set) => ({ reserved_minor: set('reserved_minor', '+', refund.amountMinor) }))
    .where('id', '=', refund.paymentId)
    .returningAll()
    .executeTakeFirstOrThrow();
  const createdAt = new Date(refund.createdAtMs ?? NOW_MS);
  await db
    .insertInto('refunds')
    .values({
      id: refund.id,
      payment_id: refund.paymentId,
      provider: payment.provider,
      amount_minor: refund.amountMinor,
      currency: payment.currency,
      reason: 'requested_by_customer',
      description: null,
      reference: refund.reference ?? null,
      metadata: '{}',
      status: 'pending',
      pending_reason: 'validating',
      failure_reason: null,
      review_reason: null,
      review_ends_by: null,
      provider_refund_id: null,
      provider_error: null,
      evidence: null,
      money: 'reserved',
      requested_by: 'ana',
      request_id: 'req_first',
      content_hash: 'hash',
      policy_version: '0',
      refund_deadline: null,
      submit_before: null,
      last_looked_at: null,
      created_at: createdAt,
      updated_at: createdAt,
    })
    .execute();
}

export const paymentBody = {
  provider: 'pagou',
  provider_payment_id: PIX_ID,
  amount: 10_000,
  currency: 'BRL',
  paid_at: '2026-03-02T14:05:00Z',
};

function bodyOf(body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body);
}

function createFakeEngine(): FakeEngine {
  const engine: FakeEngine = {
    asked: [],
    hinted: [],
    reconciled: [],
    answer: async () => ({ kind: 'tooLate' }),
    onHint: async () => {},
    isReady: true,
    requestRefund: async ({ body: start, proof }, hints) => {
      engine.asked.push({ start, proof, hints });
      return engine.answer(start);
    },
    keepRunning: async () => undefined,
    resolve: async () => ({ kind: 'notInReview' }),
    vote: async () => ({ kind: 'unproven' }),
    extend: async () => ({ kind: 'unproven' }),
    cancel: async () => ({ kind: 'unproven' }),
    hint: async (refundId, source) => {
      engine.hinted.push({ refundId, source });
      await engine.onHint(refundId);
    },
    reconcile: async (reconciliationId) => {
      engine.reconciled.push(reconciliationId);
    },
    reconcilePayment: async ({ paymentId }) => {
      engine.reconciled.push(paymentId);
    },
    ready: async () => engine.isReady,
  };
  return engine;
}

function configuredProviders(
  shown: ReadonlyMap<string, PaymentRead>,
  off: readonly string[],
): Map<string, ConfiguredProvider> {
  const unreachable: PaymentRead = {
    kind: 'unavailable',
    reason: 'provider_unavailable',
    retryAfterMs: null,
    detail: 'down',
  };
  return new Map(
    PROVIDERS.map((definition) => [
      definition.name,
      {
        definition,
        provider: off.includes(definition.name)
          ? null
          : {
              name: definition.name,
              capabilities: definition.capabilities,
              readPayment: async () => shown.get(definition.name) ?? unreachable,
              submitRefund: () => Promise.reject(new Error('the front door never moves money')),
              webhook: ['picpay', 'fourgeeks'].includes(definition.name) ? null : fakeWebhook,
            },
      },
    ]),
  );
}

/** Signed means that a header says so; the body is the payment's id. */
const fakeWebhook: ProviderWebhook = {
  verifyWebhook: (delivery) => delivery.headers['x-signed'] === 'yes',
  parseWebhook: (rawBody) => {
    const text = rawBody.toString('utf8');
    if (text === 'broken') return { kind: 'malformed', detail: 'not readable' };
    return { kind: 'hint', providerPaymentId: text.slice(0, 64) };
  },
};
