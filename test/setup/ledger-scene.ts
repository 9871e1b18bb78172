import { sql } from 'kysely';
import type { NextRound } from '../../src/ledger/resolution.js';
import { decideEligibility, type EligibilityRequest } from '../../src/domain/eligibility.js';
import type {
  PaymentSnapshot,
  ProviderCapabilities,
  ProviderRefund,
  SubmitOutcome,
} from '../../src/domain/provider.js';
import type { LookResult, SubmitResult } from '../../src/domain/saga-state.js';
import type { RefundWindow } from '../../src/domain/window.js';
import {
  admitRefund,
  type Admission,
  type AdmissionOutcome,
  type AdmissionRules,
} from '../../src/ledger/admission.js';
import {
  claimAttempt,
  type AttemptRow,
  type AttemptSnapshot,
  type Claim,
  type ClaimOutcome,
} from '../../src/ledger/attempts.js';
import { openDatabase, type Database } from '../../src/ledger/database.js';
import { takeLane } from '../../src/ledger/lanes.js';
import { recordAnswer, type Recorded } from '../../src/ledger/answers.js';
import { recordLook, type Look } from '../../src/ledger/looks.js';
import { registerPayment } from '../../src/ledger/payments.js';
import { reconcilePayment, type PaymentReading, type Reconciled } from '../../src/ledger/reconcile.js';
import type { PaymentRow, RefundRow } from '../../src/ledger/refunds.js';
import { createTestDatabase } from './real-parts.js';

export const START_MS = Date.parse('2026-03-10T12:00:00Z');
export const TIMEOUT_MS = 10_000;
export const QUIET_MS = 60_000;
const SEND_WITHIN_MS = 2_000;
const DAY_MS = 86_400_000;

/** As a provider without idempotency keys and with many partial refunds has them. */
export const CAPABILITIES: ProviderCapabilities = {
  idempotentSubmit: false,
  partials: 'many',
  confirmation: 'read',
  defaultMethod: 'pix',
  methods: ['pix'],
  currencies: null,
  readsUnregistered: false,
};

/** Of the policy file's defaults, as far as an admission asks. */
export const POLICY: Admission['policy'] = {
  version: '1',
  approval: { rules: [], expiresAfterMs: 7 * DAY_MS, remindEveryMs: DAY_MS, escalateAfterMs: 3 * DAY_MS },
  limits: { dailyByActorMinor: null, dailyByProviderMinor: null },
};

interface AdmitOptions extends Partial<Admission> {
  readonly amountMinor?: number | null;
  readonly capabilities?: ProviderCapabilities;
  readonly window?: RefundWindow | null;
  /** How many people must agree, or what says so under the lock; 0 where it is not given. */
  readonly approvals?: number | AdmissionRules['approvals'];
  /** Whether its lane is taken with the reservation; not, where it is not given. */
  readonly needsLane?: boolean;
}

/** A ledger of its own and its steps with what a test does not care about filled in. */
export interface LedgerScene {
  readonly db: Database;
  readonly url: string;
  /** Registers a payment and answers its id. */
  payment(facts?: { amountMinor?: number; provider?: string }): Promise<string>;
  admit(paymentId: string, options?: AdmitOptions): Promise<AdmissionOutcome>;
  /** Admits what must be admitted. @returns the refund's id. */
  refund(paymentId: string, options?: AdmitOptions): Promise<string>;
  claim(refundId: string, number: number, options?: Partial<Claim>): Promise<ClaimOutcome>;
  /** Lane, claim and answer in one go, all of which must go well. */
  submit(refundId: string, outcome: SubmitOutcome, options?: Partial<Claim>): Promise<Recorded<SubmitResult>>;
  answer(
    refundId: string,
    number: number,
    outcome: SubmitOutcome,
    nowMs?: number,
  ): Promise<Recorded<SubmitResult>>;
  look(refundId: string, shown: readonly ProviderRefund[], options?: Partial<Look>): Promise<LookResult>;
  /** Compares a whole payment with what its provider shows. */
  reconcile(
    paymentId: string,
    shown: readonly ProviderRefund[],
    options: Partial<PaymentReading> & { readAtMs: number; facts?: Partial<PaymentSnapshot> },
  ): Promise<Reconciled>;
  /** As many reads as prove that the attempt is not there. */
  proveAbsent(refundId: string, shown?: readonly ProviderRefund[]): Promise<LookResult>;
  refundRow(refundId: string): Promise<RefundRow>;
  paymentRow(paymentId: string): Promise<PaymentRow>;
  attempts(refundId: string): Promise<AttemptRow[]>;
  eventTypes(of: { refundId: string } | { paymentId: string }): Promise<string[]>;
  laneHolder(paymentId: string): Promise<string | null>;
  /** As if it were new, and sooner than a new one would be there. */
  forget(): Promise<void>;
  close(): Promise<void>;
}

export async function openLedger(options: Parameters<typeof openDatabase>[1] = {}): Promise<LedgerScene> {
  const database = await createTestDatabase();
  const db = openDatabase(database.url, { poolMax: 16, ...options });
  let made = 0;

  const scene: LedgerScene = {
    db,
    url: database.url,
    payment: async ({ amountMinor = 10_000, provider = 'efi' } = {}) => {
      const number = (made += 1);
      const registration = {
        id: `pay_${number}`,
        provider,
        providerPaymentId: `at-provider-${number}`,
        providerPaymentReference: null,
        amountMinor,
        currency: 'BRL',
        method: 'pix' as const,
        paidAtMs: START_MS - 86_400_000,
        reference: null,
        metadata: {},
        sealedCredential: null,
        actor: 'ana',
        requestId: 'req_registration',
      };
      await registerPayment(db, registration, START_MS);
      return registration.id;
    },
    admit: (paymentId, options = {}) => {
      const number = (made += 1);
      const {
        amountMinor = 1_000,
        capabilities = CAPABILITIES,
        window = null,
        approvals = 0,
        needsLane = false,
        ...given
      } = options;
      const asked: EligibilityRequest = { amountMinor, currency: null, expectedRefundableMinor: null };
      const admission: Admission = {
        refundId: `rfd_${number}`,
        actor: 'ana',
        idempotencyKey: `key-${number}`,
        fingerprint: 'fingerprint',
        requestId: `req_${number}`,
        askId: `ask_${number}`,
        runId: `run-${number}`,
        reason: 'requested_by_customer',
        description: null,
        reference: null,
        metadata: {},
        payment: { id: paymentId },
        reading: null,
        policy: POLICY,
        dayStartMs: Date.parse('2026-03-10T00:00:00-03:00'),
        proof: 'v1.test.proof',
        nowMs: START_MS,
        ...given,
      };
      return admitRefund(db, admission, {
        isLate: () => false,
        decide: (payment, standing, limits) =>
          decideEligibility(asked, {
            payment,
            capabilities,
            providerEnabled: true,
            snapshot: admission.reading?.snapshot ?? null,
            unknownAtProvider: false,
            window,
            liveRefunds: standing.liveRefunds,
            limits,
            nowMs: admission.nowMs,
          }),
        window: () => window,
        contentHash: () => 'content-hash',
        approvals: typeof approvals === 'number' ? () => approvals : approvals,
        needsLane: () => needsLane,
      });
    },
    refund: async (paymentId, options) => {
      const outcome = await scene.admit(paymentId, options);
      if (outcome.kind !== 'admitted') throw new Error(`not admitted: ${JSON.stringify(outcome)}`);
      return outcome.refund.id;
    },
    claim: (refundId, number, options = {}) => {
      const nowMs = options.nowMs ?? START_MS;
      return claimAttempt(db, {
        refundId,
        number,
        idempotencyKey: `${refundId.replace('_', '-')}-${number}`,
        reading: reading([], nowMs),
        needsLane: true,
        rules: { capabilities: CAPABILITIES, providerEnabled: true, window: null },
        sendByMs: nowMs + SEND_WITHIN_MS,
        nowMs,
        decisionMs: nowMs,
        ...options,
      });
    },
    submit: async (refundId, outcome, options) => {
      const lane = await takeLane(db, refundId, START_MS);
      const { attempt } = await scene.refundRow(refundId);
      const claimed = await scene.claim(refundId, attempt + 1, options);
      if (lane.kind !== 'taken' || claimed.kind !== 'claimed') {
        throw new Error(`not submitted: ${JSON.stringify([lane, claimed])}`);
      }
      return scene.answer(refundId, attempt + 1, outcome);
    },
    answer: (refundId, number, outcome, nowMs = START_MS + 1_000) =>
      recordAnswer(db, { refundId, number, outcome, nowMs }),
    look: (refundId, shown, options = {}) => {
      const nowMs = options.nowMs ?? START_MS + 5_000;
      return recordLook(db, {
        refundId,
        reading: reading(shown, nowMs),
        source: 'poll',
        onlyOneRefund: false,
        bounds: { providerTimeoutMs: TIMEOUT_MS, quietMs: QUIET_MS },
        nowMs,
        ...options,
      });
    },
    reconcile: (paymentId, shown, { readAtMs, facts, ...given }) =>
      reconcilePayment(db, {
        paymentId,
        reading: reading(shown, readAtMs, facts),
        onlyOneRefund: false,
        bounds: { providerTimeoutMs: TIMEOUT_MS, quietMs: QUIET_MS },
        reconciliationId: null,
        nowMs: readAtMs + 100,
        ...given,
      }),
    proveAbsent: async (refundId, shown = []) => {
      const quietFromMs = START_MS + SEND_WITHIN_MS + TIMEOUT_MS;
      await scene.look(refundId, shown, { nowMs: quietFromMs });
      await scene.look(refundId, shown, { nowMs: quietFromMs + QUIET_MS / 2 });
      return scene.look(refundId, shown, { nowMs: quietFromMs + QUIET_MS });
    },
    refundRow: (id) => db.selectFrom('refunds').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    paymentRow: (id) => db.selectFrom('payments').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    attempts: (refundId) =>
      db
        .selectFrom('provider_attempts')
        .selectAll()
        .where('refund_id', '=', refundId)
        .orderBy('number')
        .execute(),
    eventTypes: async (of) => {
      const events = db.selectFrom('refund_events').select('type').orderBy('id');
      const rows =
        'refundId' in of
          ? await events.where('refund_id', '=', of.refundId).execute()
          : await events.where('payment_id', '=', of.paymentId).where('refund_id', 'is', null).execute();
      return rows.map((row) => row.type);
    },
    laneHolder: async (paymentId) => {
      const lane = await db
        .selectFrom('lanes')
        .select('holder_refund_id')
        .where('payment_id', '=', paymentId)
        .executeTakeFirst();
      return lane?.holder_refund_id ?? null;
    },
    forget: () => forgetAll(db),
    close: async () => {
      await db.destroy();
      await database.drop();
    },
  };
  return scene;
}

/** What a provider shows: its refunds, on a payment that may still be refunded. */
export function reading(
  refunds: readonly ProviderRefund[],
  readAtMs = START_MS,
  rest: Partial<PaymentSnapshot> = {},
): AttemptSnapshot {
  return {
    status: 'refundable',
    providerStatus: 'PAID',
    providerPaymentReference: null,
    amountMinor: null,
    amountMayBeReduced: false,
    currency: null,
    method: null,
    paidAtMs: null,
    refunds,
    complete: true,
    ...rest,
    readAtMs,
  };
}

export function shownRefund(
  amountMinor: number,
  status: ProviderRefund['status'] = 'succeeded',
  providerRefundId: string | null = null,
): ProviderRefund {
  return { providerRefundId, amountMinor, status, providerStatus: status.toUpperCase() };
}

export function done(providerRefundId: string | null = null): SubmitOutcome {
  return { kind: 'done', providerRefundId, providerStatus: 'DONE' };
}

export function accepted(providerRefundId: string | null = null): SubmitOutcome {
  return { kind: 'accepted', providerRefundId, providerStatus: 'PENDING' };
}

export function unknown(retryAfterMs: number | null = null): SubmitOutcome {
  return { kind: 'unknown', error: { code: 'timeout', message: 'no answer' }, retryAfterMs };
}

export function declined(mayBeOurs = false): SubmitOutcome {
  return { kind: 'declined', error: { code: 'refused', message: 'no' }, mayBeOurs };
}

export function notNow(
  reason: Extract<SubmitOutcome, { kind: 'notNow' }>['reason'] = 'insufficient_balance',
): SubmitOutcome {
  return { kind: 'notNow', reason, error: { code: reason, message: 'later' }, retryAfterMs: 30_000 };
}

/** For refunds that nobody need agree on. */
export const NO_NEXT_ROUND: NextRound = {
  expiresAfterMs: 0,
  contentHash: () => {
    throw new Error('no round was to be opened');
  },
};

/** Around the guards of the trail, which a superuser may switch off for one transaction. */
async function forgetAll(db: Database): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`SET LOCAL session_replication_role = replica`.execute(trx);
    const { rows } = await sql<{ name: string }>`
      SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'migrations'`.execute(
      trx,
    );
    for (const { name } of rows) await sql`DELETE FROM ${sql.table(name)}`.execute(trx);
  });
}
