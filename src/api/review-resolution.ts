import type { ResolutionVerdict } from '../../activities/interface.js';
import { assertNever } from '../domain/errors.js';
import { findRefund, type RefundRow } from '../ledger/refund-reads.js';
import { isCarriedOut } from '../ledger/resolution.js';
import { fingerprintOf } from '../signing/fingerprint.js';
import type { ApiDeps } from './deps.js';
import { notFound, Problem } from './problem.js';
import { EngineFailure } from './refund-engine.js';
import type { ResolutionBody } from './review.schema.js';

export interface ResolutionAsk {
  readonly refundId: string;
  readonly actor: string;
  readonly requestId: string;
  readonly body: ResolutionBody;
}

/**
 * Has a person's decision carried out, once. Its id is made of who decided what, and on which evidence, about which
 * refund: a repeat after a lost answer finds what it did, and is never carried out in a later review of that refund.
 * @throws Problem for everything but 200.
 */
export async function resolveReview(
  deps: ApiDeps,
  ask: ResolutionAsk,
): Promise<{ readonly refund: RefundRow; readonly replayed: boolean }> {
  const refund = await existing(deps, ask.refundId);
  const { outcome, evidence } = ask.body;
  const id = fingerprintOf({ refundId: refund.id, actor: ask.actor, outcome, evidence });
  if (await isCarriedOut(deps.db, refund.id, id)) return { refund, replayed: true };
  if (refund.status !== 'review') throw notInReview(refund);
  if (refund.requested_by === ask.actor) throw ownRefund();

  const { actor, requestId } = ask;
  const resolution = { id, refundVersion: refund.version, outcome, evidence, actor, requestId };
  const verdict = await verdictOf(deps, refund, resolution);
  return answerOf(deps, refund.id, id, verdict);
}

/** Null: the engine gave none, and only the ledger can tell what happened. */
async function verdictOf(
  deps: ApiDeps,
  refund: RefundRow,
  resolution: Parameters<ApiDeps['engine']['resolve']>[1],
): Promise<ResolutionVerdict | null> {
  try {
    return await deps.engine.resolve(refund, resolution);
  } catch (error) {
    if (!(error instanceof EngineFailure)) throw error;
    deps.log.warn({ err: error, refundId: refund.id }, 'no verdict on a resolution');
    return null;
  }
}

async function answerOf(
  deps: ApiDeps,
  refundId: string,
  resolutionId: string,
  verdict: ResolutionVerdict | null,
): Promise<{ refund: RefundRow; replayed: boolean }> {
  switch (verdict?.kind) {
    case 'closed':
    case 'resend':
      return { refund: await existing(deps, refundId), replayed: false };
    case 'contradicted':
      throw new Problem('provider_contradicts', verdict.why);
    case 'providerUnavailable':
      throw new Problem('provider_unavailable', verdict.detail);
    case 'ownRefund':
      throw ownRefund();
    case 'notInReview':
    case undefined:
      return answerOfLedger(deps, refundId, resolutionId, verdict !== null);
    default:
      return assertNever(verdict);
  }
}

/** No verdict, or one that came too late for its review: the ledger knows what became of the decision. */
async function answerOfLedger(
  deps: ApiDeps,
  refundId: string,
  resolutionId: string,
  answered: boolean,
): Promise<{ refund: RefundRow; replayed: boolean }> {
  const done = await isCarriedOut(deps.db, refundId, resolutionId);
  const refund = await existing(deps, refundId);
  if (done) return { refund, replayed: true };
  if (answered && refund.status !== 'review') throw notInReview(refund);
  throw new Problem(
    'engine_unavailable',
    'It is not known whether this was carried out: send the same again, it is carried out once.',
  );
}

async function existing(deps: ApiDeps, id: string): Promise<RefundRow> {
  const refund = await findRefund(deps.db, id);
  if (!refund) throw notFound('refund');
  return refund;
}

function notInReview(refund: RefundRow): Problem {
  return new Problem('not_in_review', `The refund is ${refund.status}: there is nothing to resolve.`);
}

function ownRefund(): Problem {
  return new Problem(
    'self_approval_forbidden',
    'Somebody else must decide about a refund that you asked for.',
  );
}
