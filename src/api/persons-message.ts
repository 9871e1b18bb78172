import { randomUUID } from 'node:crypto';
import type { PersonsMessage } from '../../activities/interface.js';
import type { Envelope } from '../../workflows/messages.js';
import { findRefund, type RefundRow } from '../ledger/refund-reads.js';
import { prove, type ProvenAction } from '../signing/proof.js';
import type { ApiDeps } from './deps.js';
import { notFound, Problem } from './problem.js';
import { EngineFailure } from './refund-engine.js';

/** Who asks what of which refund. */
export interface PersonsAsk<Body> {
  readonly refundId: string;
  readonly actor: string;
  readonly requestId: string;
  readonly body: Body;
}

/** Signed by the front door, for this refund as it stands, and for once. */
export function personsMessage<Content extends object>(
  deps: Pick<ApiDeps, 'config'>,
  action: ProvenAction,
  refund: RefundRow,
  { actor, requestId }: Pick<PersonsAsk<unknown>, 'actor' | 'requestId'>,
  content: Content,
): Envelope<PersonsMessage & Content> {
  const message: PersonsMessage = {
    refundId: refund.id,
    actor,
    nonce: randomUUID(),
    requestId,
    contentHash: refund.content_hash,
  };
  const body = { ...message, ...content };
  return { body, proof: prove(deps.config.frontDoorKeys, action, body) };
}

/** Null: the engine gave no verdict, and only the ledger can tell what happened. */
export async function verdictWithin<Verdict extends { readonly kind: string }>(
  deps: Pick<ApiDeps, 'log'>,
  refundId: string,
  ask: () => Promise<Verdict>,
): Promise<Exclude<Verdict, Unproven> | null> {
  try {
    const verdict = await ask();
    if (!isUnproven(verdict)) return verdict as Exclude<Verdict, Unproven>;
    deps.log.error({ refundId }, 'the workers do not know the key that this front door signs with');
  } catch (error) {
    if (!(error instanceof EngineFailure)) throw error;
    deps.log.warn({ err: error, refundId }, 'no verdict on a message');
  }
  return null;
}

/** @throws Problem where there is none. */
export async function existingRefund(deps: Pick<ApiDeps, 'db'>, id: string): Promise<RefundRow> {
  const refund = await findRefund(deps.db, id);
  if (!refund) throw notFound('refund');
  return refund;
}

/** After an answer that never came: the same again is safe, because it is carried out once. */
export function notKnownYet(): Problem {
  return new Problem(
    'engine_unavailable',
    'It is not known whether this was carried out: send the same again, it is carried out once.',
  );
}

interface Unproven {
  readonly kind: 'unproven';
}

function isUnproven(verdict: { readonly kind: string }): verdict is Unproven {
  return verdict.kind === 'unproven';
}
