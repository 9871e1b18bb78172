import { assertNever } from '../src/domain/errors.js';
import { paymentFromRow, referenceOf } from '../src/ledger/payment-row.js';
import { loadRefund, type PaymentRow } from '../src/ledger/refunds.js';
import { resolveRefund, type ResolutionAsk, type Resolving } from '../src/ledger/resolution.js';
import { providerNamed, type ActivityDeps } from './deps.js';
import { readGuarded } from './guarded-calls.js';
import type { Resolution, ResolutionVerdict, ResolveActivityResult } from './interface.js';

/** Reads once more, then carries out what a person decided, unless what is shown contradicts it. */
export async function resolve(
  deps: ActivityDeps,
  { refundId, resolution }: { refundId: string; resolution: Resolution },
): Promise<ResolveActivityResult> {
  const { payment } = await loadRefund(deps.db, refundId);
  const { providerTimeoutMs, providerQuietMs: quietMs } = deps.timings;
  const resolving = await resolveRefund(deps.db, {
    refundId,
    decision: resolution,
    seen: await readAfresh(deps, payment),
    bounds: { providerTimeoutMs, quietMs },
    nowMs: deps.nowMs(),
  });
  const { id, outcome, actor } = resolution;
  deps.log.warn({ refundId, resolution: id, outcome, actor, ended: resolving.kind }, 'a review was decided');
  return {
    verdict: verdictOf(resolving),
    wakeRefundId: resolving.kind === 'closed' ? resolving.wakeRefundId : null,
  };
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
      return { kind: 'closed', status: resolving.refund.status };
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
