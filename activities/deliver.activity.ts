import {
  findOutgoing,
  giveUpDelivery as giveUp,
  nextDelivery as next,
  recordDelivered,
  recordGone,
  recordMissed,
} from '../src/ledger/deliveries.js';
import type { Sealing } from '../src/ledger/credentials.js';
import { pauseBeforeRetryMs } from '../src/outbound/pauses.js';
import type { Post } from '../src/outbound/post.js';
import { signedHeaders } from '../src/outbound/signature.js';
import type { ActivityDeps } from './deps.js';
import { notDelivered } from './failures.js';
import type { DeliveryLine } from './interface.js';

/** What the worker of outbound webhooks is built from. */
export interface DeliveryDeps extends Pick<ActivityDeps, 'db' | 'nowMs' | 'log'> {
  /** What opens the endpoints' secrets; null: PAYLOAD_KEYS is not set here. */
  readonly sealing: Sealing | null;
  readonly post: Post;
  /** From 0 to 1. */
  readonly random: () => number;
}

const GONE = 410;

/**
 * Posts one message once, and records what came of it. A worker that dies in between leaves it waiting: then it is
 * posted again, under the same id.
 */
export async function deliver(deps: DeliveryDeps, { deliveryId }: { deliveryId: string }): Promise<void> {
  const { db, nowMs, post, random } = deps;
  const outgoing = await findOutgoing(db, deliveryId);
  if (!outgoing) return;
  const startedAtMs = nowMs();
  const secrets = openSecrets(deps, outgoing.secrets, startedAtMs);
  const signed = signedHeaders(outgoing.messageId, outgoing.body, secrets, startedAtMs);
  const answer = await post(outgoing.url, signed, outgoing.body);

  const httpStatus = answer.kind === 'answered' ? answer.status : null;
  const error = answer.kind === 'answered' ? `HTTP_${answer.status}` : answer.code;
  const attempted = { deliveryId, httpStatus, error, startedAtMs, nowMs: nowMs() };
  if (httpStatus !== null && httpStatus >= 200 && httpStatus <= 299) {
    return recordDelivered(db, { ...attempted, error: null });
  }
  if (httpStatus === GONE) return recordGone(db, attempted);
  const pauseMs = await recordMissed(db, attempted, (attempts) => pauseBeforeRetryMs(attempts, random()));
  if (pauseMs !== null) throw notDelivered(error, pauseMs);
}

function openSecrets(
  { sealing }: DeliveryDeps,
  secrets: readonly { readonly sealed: string; readonly until: string | null }[],
  nowMs: number,
): string[] {
  if (!sealing) throw new Error('an endpoint has a sealed secret, and PAYLOAD_KEYS is not set here');
  return secrets
    .filter(({ until }) => until === null || Date.parse(until) > nowMs)
    .map(({ sealed }) => sealing.unseal(sealed));
}

export function nextDelivery(
  { db, nowMs }: Pick<ActivityDeps, 'db' | 'nowMs'>,
  line: DeliveryLine,
): Promise<{ deliveryId: string; triedForMs: number } | null> {
  return next(db, line, nowMs());
}

export function giveUpDelivery(
  { db }: Pick<ActivityDeps, 'db'>,
  { deliveryId }: { deliveryId: string },
): Promise<void> {
  return giveUp(db, deliveryId);
}
