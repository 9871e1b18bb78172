import type { z } from 'zod';
import type { RefundRequest } from '../../activities/interface.js';
import { approvalsRequired } from '../domain/approval.js';
import { readPaymentWithin } from '../domain/bounded-read.js';
import { decideEligibility, type DailyLimits } from '../domain/eligibility.js';
import { assertNever } from '../domain/errors.js';
import { explainReading } from '../domain/matching.js';
import type { Payment } from '../domain/payment.js';
import type { PaymentRead, PaymentReference, PaymentSnapshot } from '../domain/provider.js';
import { factsShown } from '../domain/unregistered.js';
import { startOfDayMs, windowOfPayment } from '../domain/window.js';
import { usedSoFar } from '../ledger/daily-limits.js';
import { referenceOf } from '../ledger/payment-row.js';
import { readStanding } from '../ledger/payments.js';
import type { Standing } from '../ledger/standing.js';
import { paymentIdOf } from '../signing/refund-id.js';
import type { ApiDeps, ConfiguredProvider } from './deps.js';
import { Problem, notFound } from './problem.js';
import { paymentInLedger, toRefundRequest } from './refund-request.js';
import type { previewResource, RefundBody } from './refund.schema.js';

type Preview = z.output<typeof previewResource>;

const READ_WITHIN_MS = 3_000;
const NO_STANDING: Standing = { landed: [], open: [], liveRefunds: 0 };

/** Every rule with its numbers, as an admission would decide now; nothing is stored and nobody is told. */
export async function previewRefund(
  deps: ApiDeps,
  { actor, body }: { readonly actor: string; readonly body: RefundBody },
): Promise<Preview> {
  const request = toRefundRequest(deps, body);
  const registered = await paymentInLedger(deps, request);
  if (!registered && 'paymentId' in request.payment) throw notFound('payment');
  const name = registered?.provider ?? ('provider' in request.payment ? request.payment.provider : '');
  const configured = deps.providers.get(name);
  if (!configured) throw notFound('payment');

  const reference = registered ? referenceOf(registered) : unregisteredReference(request.payment);
  const read = configured.provider
    ? await readPaymentWithin(configured.provider, reference, READ_WITHIN_MS)
    : null;
  const snapshot = read?.kind === 'found' ? read.snapshot : null;
  const payment = registered ?? unregisteredPayment(configured, reference, read, deps.nowMs());
  const standing = registered
    ? ((await readStanding(deps.db, registered.id))?.standing ?? NO_STANDING)
    : NO_STANDING;
  const seen = withExternalMoney(payment, standing, snapshot);
  return decidedPreview(deps, configured, seen, {
    request,
    actor,
    limits: await limitsOf(deps, actor, payment),
    snapshot,
    read,
  });
}

function decidedPreview(
  deps: ApiDeps,
  configured: ConfiguredProvider,
  { payment, liveRefunds }: { payment: Payment; liveRefunds: number },
  {
    request,
    actor,
    limits,
    snapshot,
    read,
  }: {
    request: RefundRequest;
    actor: string;
    limits: DailyLimits;
    snapshot: PaymentSnapshot | null;
    read: PaymentRead | null;
  },
): Preview {
  const window = windowOfPayment(payment, snapshot?.paidAtMs ?? null, deps.policy.window);
  const decision = decideEligibility(request, {
    payment,
    capabilities: configured.definition.capabilities,
    providerEnabled: configured.provider !== null,
    snapshot,
    unknownAtProvider: read?.kind === 'notFound',
    window,
    liveRefunds,
    limits,
    nowMs: deps.nowMs(),
  });
  const approvals = approvalsRequired(deps.policy.approval.rules, {
    amountMinor: decision.amountMinor,
    heldMinor: payment.refundedMinor + payment.reservedMinor,
    reason: request.reason,
    provider: payment.provider,
    requester: actor,
  });
  return {
    object: 'refund_preview',
    eligible: decision.broken.length === 0,
    amount: decision.amountMinor,
    currency: payment.currency,
    refundable_amount: decision.refundableMinor,
    refund_deadline: window ? new Date(window.deadlineMs).toISOString() : null,
    provider_read: readWord(read),
    rules: decision.rules.map(({ code, passed, detail, numbers }) => ({ code, passed, detail, numbers })),
    approval: { required: approvals },
  };
}

function limitsOf(deps: ApiDeps, actor: string, { provider, currency }: Payment): Promise<DailyLimits> {
  const { limits, window } = deps.policy;
  const dayStartMs = startOfDayMs(deps.nowMs(), window.timeZone);
  return usedSoFar(deps.db, { actor, provider, currency, dayStartMs, limits });
}

/** What the provider shows and nothing of ours explains counts, but while an attempt is open it may be ours. */
function withExternalMoney(payment: Payment, standing: Standing, snapshot: PaymentSnapshot | null) {
  const { liveRefunds } = standing;
  if (!snapshot?.complete || standing.open.length > 0) return { payment, liveRefunds };
  const { externalMinor } = explainReading(snapshot, standing.landed);
  return { payment: { ...payment, externalMinor }, liveRefunds };
}

/** What a provider shows of a payment that nobody registered. @throws Problem where that is not enough. */
function unregisteredPayment(
  configured: ConfiguredProvider,
  reference: PaymentReference,
  read: PaymentRead | null,
  nowMs: number,
): Payment {
  const { name, title, capabilities } = configured.definition;
  if (!read) {
    throw new Problem('provider_not_enabled', `${title} is not enabled, and the payment is not registered.`);
  }
  if (read.kind === 'unavailable' || read.kind === 'unreadable') {
    throw new Problem(
      'provider_unavailable',
      'The payment is not registered, and its provider could not be asked.',
    );
  }
  const facts = read.kind === 'found' ? factsShown(read.snapshot, capabilities) : null;
  if (!facts) throw notFound('payment');
  return {
    id: paymentIdOf(name, reference.providerPaymentId),
    provider: name,
    providerPaymentId: reference.providerPaymentId,
    ...facts,
    reference: null,
    metadata: {},
    refundedMinor: 0,
    reservedMinor: 0,
    externalMinor: 0,
    createdAtMs: nowMs,
  };
}

function unregisteredReference(
  named: { readonly paymentId: string } | { readonly providerPaymentId: string },
): PaymentReference {
  if ('paymentId' in named) throw notFound('payment');
  return {
    providerPaymentId: named.providerPaymentId,
    providerPaymentReference: null,
    paymentId: null,
    paidAtMs: null,
  };
}

function readWord(read: PaymentRead | null): Preview['provider_read'] {
  if (!read) return 'off';
  switch (read.kind) {
    case 'found':
      return 'read';
    case 'notFound':
      return 'not_found';
    case 'unavailable':
    case 'unreadable':
      return read.kind;
    default:
      return assertNever(read);
  }
}
