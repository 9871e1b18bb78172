import type { ResolutionVerdict } from '../../activities/interface.js';
import { assertNever } from '../domain/errors.js';
import type { RefundRow } from '../ledger/refund-reads.js';
import { isCarriedOut } from '../ledger/resolution.js';
import { fingerprintOf } from '../signing/fingerprint.js';
import type { ApiDeps } from './deps.js';
import {
  existingRefund,
  notKnownYet,
  personsMessage,
  verdictWithin,
  type PersonsAsk,
} from './persons-message.js';
import { Problem } from './problem.js';
import type { ResolutionBody } from './review.schema.js';

/**
 * Has a person's decision carried out, once. Its id is made of who decided what, and on which evidence, about which
 * refund: a repeat after a lost answer finds what it did, and is never carried out in a later review of that refund.
 * @throws Problem for everything but 200.
 */
export async function resolveReview(
  deps: ApiDeps,
  ask: PersonsAsk<ResolutionBody>,
): Promise<{ readonly refund: RefundRow; readonly replayed: boolean }> {
  const refund = await existingRefund(deps, ask.refundId);
  const { outcome, evidence } = ask.body;
  const id = fingerprintOf({ refundId: refund.id, actor: ask.actor, outcome, evidence });
  if (await isCarriedOut(deps.db, refund.id, id)) {
    // Read once more: it may have been carried out since the first reading.
    return { refund: await existingRefund(deps, refund.id), replayed: true };
  }
  if (refund.status !== 'review') throw notInReview(refund);
  if (refund.requested_by === ask.actor) throw ownRefund();

  const decided = { id, refundVersion: refund.version, outcome, evidence };
  const resolution = personsMessage(deps, 'resolve', refund, ask, decided);
  const verdict = await verdictWithin(deps, refund.id, () => deps.engine.resolve(refund, resolution));
  return answerOf(deps, refund.id, id, verdict);
}

async function answerOf(
  deps: ApiDeps,
  refundId: string,
  resolutionId: string,
  verdict: Exclude<ResolutionVerdict, { kind: 'unproven' }> | null,
): Promise<{ refund: RefundRow; replayed: boolean }> {
  switch (verdict?.kind) {
    case 'closed':
    case 'resend':
      return { ...(await answerOfLedger(deps, refundId, resolutionId, true)), replayed: false };
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
  const refund = await existingRefund(deps, refundId);
  if (done) return { refund, replayed: true };
  if (answered && refund.status !== 'review') throw notInReview(refund);
  throw notKnownYet();
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
