import { assertNever } from '../src/domain/errors.js';
import { paymentFromRow, referenceOf } from '../src/ledger/payment-row.js';
import { loadRefund, type PaymentRow, type RefundRow } from '../src/ledger/refunds.js';
import { recordForgery } from '../src/ledger/refused-messages.js';
import { resolveRefund, type ResolutionAsk, type Resolving } from '../src/ledger/resolution.js';
import { contentHashOf } from '../src/signing/content-hash.js';
import { isProven } from '../src/signing/proof.js';
import { providerNamed, type ActivityDeps } from './deps.js';
import { readGuarded } from './guarded-calls.js';
import type { Resolution, ResolutionVerdict, ResolveActivityResult } from './interface.js';

/** Reads once more, then carries out what a person decided, unless what is shown contradicts it. */
export async function resolve(
  deps: ActivityDeps,
  { refundId, resolution, proof }: { refundId: string; resolution: Resolution; proof?: string },
): Promise<ResolveActivityResult> {
  const isOurs =
    resolution.refundId === refundId && isProven(deps.frontDoorKeys, 'resolve', resolution, proof);
  if (!isOurs || proof === undefined) {
    deps.log.error({ refundId }, 'a resolution without the proof of the front door was refused');
    const forgery = { action: 'resolve', claimedActor: resolution.actor };
    await recordForgery(deps.db, refundId, forgery, deps.nowMs());
    return { verdict: { kind: 'unproven' }, wakeRefundId: null };
  }
  const { payment, refund } = await loadRefund(deps.db, refundId);
  const { approval } = await deps.policies.of(refund.policy_version);
  const { providerTimeoutMs, providerQuietMs: quietMs } = deps.timings;
  const ask = {
    refundId,
    decision: { ...resolution, proof },
    seen: await readAfresh(deps, payment),
    bounds: { providerTimeoutMs, quietMs },
    nowMs: deps.nowMs(),
  };
  const resolving = await resolveRefund(deps.db, ask, {
    expiresAfterMs: approval.expiresAfterMs,
    contentHash: contentHashOfRound,
  });
  const { id, outcome, actor } = resolution;
  deps.log.warn({ refundId, resolution: id, outcome, actor, ended: resolving.kind }, 'a review was decided');
  return {
    verdict: verdictOf(resolving),
    wakeRefundId: resolving.kind === 'closed' ? resolving.wakeRefundId : null,
  };
}

function contentHashOfRound(payment: PaymentRow, refund: RefundRow, approvalRound: number): string {
  return contentHashOf({
    refundId: refund.id,
    provider: refund.provider,
    providerPaymentId: payment.provider_payment_id,
    amountMinor: refund.amount_minor,
    currency: refund.currency,
    reason: refund.reason,
    requestedBy: refund.requested_by,
    policyVersion: refund.policy_version,
    approvalRound,
  });
}

async function readAfresh(deps: ActivityDeps, payment: PaymentRow): Promise<ResolutionAsk['seen']> {
  const { provider } = providerNamed(deps, payment.provider);
  if (!provider) return { kind: 'unread', why: 'The provider is not enabled.', wordSuffices: true };
  const readAtMs = deps.nowMs();
  const read = await readGuarded(deps, provider, referenceOf(paymentFromRow(payment)));
  if (read.kind === 'found') {
    const onlyOneRefund = provider.capabilities.partials !== 'many';
    return { reading: { ...read.snapshot, readAtMs }, onlyOneRefund };
  }
  const why = `The provider could not be read: ${read.detail}`;
  return { kind: 'unread', why, wordSuffices: read.kind === 'notFound' };
}

function verdictOf(resolving: Resolving): ResolutionVerdict {
  switch (resolving.kind) {
    case 'closed':
      return { kind: 'closed', status: resolving.status };
    case 'unreadable':
      return { kind: 'providerUnavailable', detail: resolving.why };
    case 'resend':
    case 'contradicted':
    case 'notInReview':
    case 'ownRefund':
      return resolving;
    default:
      return assertNever(resolving);
  }
}
