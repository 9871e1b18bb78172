import {
  findOutgoing,
  nextDelivery as next,
  postponeDelivery,
  recordDelivered,
  recordGone,
  recordMissed,
  type Outgoing,
} from '../src/ledger/deliveries.js';
import type { Sealing } from '../src/ledger/credentials.js';
import { pauseBeforeRetryMs } from '../src/outbound/pauses.js';
import { signedHeaders } from '../src/outbound/signature.js';
import type { PostInTurn } from '../src/outbound/turns.js';
import type { ActivityDeps, ObserveDeliveries } from './deps.js';
import { notDelivered } from './failures.js';
import type { DeliveryLine } from './interface.js';

/** What the worker of outbound webhooks is built from. */
export interface DeliveryDeps extends Pick<ActivityDeps, 'db' | 'nowMs' | 'log'> {
  /** What opens the endpoints' secrets; null: PAYLOAD_KEYS is not set here. */
  readonly sealing: Sealing | null;
  readonly post: PostInTurn;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly observe: ObserveDeliveries;
}

const GONE = 410;
/** Nothing was sent: PAYLOAD_KEYS of this worker does not open the endpoint's secret. */
const SECRET_UNREADABLE = 'SECRET_UNREADABLE';

/**
 * Posts one message once, and records what came of it. A worker that dies in between leaves it waiting: then it is
 * posted again, under the same id.
 */
export async function deliver(deps: DeliveryDeps, { deliveryId }: { deliveryId: string }): Promise<void> {
  const { db, nowMs, random, observe } = deps;
  const outgoing = await findOutgoing(db, deliveryId);
  if (!outgoing) return;
  const startedAtMs = nowMs();
  const answer = await send(deps, outgoing, startedAtMs);
  if (answer.kind === 'busy') {
    const pauseMs = pauseBeforeRetryMs(startedAtMs - outgoing.createdAt.getTime(), random());
    await postponeDelivery(db, deliveryId, nowMs() + pauseMs);
    throw notDelivered('BUSY', pauseMs);
  }

  const httpStatus = answer.kind === 'answered' ? answer.status : null;
  const error = answer.kind === 'answered' ? `HTTP_${answer.status}` : answer.code;
  const attempted = { deliveryId, httpStatus, error, startedAtMs, nowMs: nowMs() };
  if (httpStatus !== null && httpStatus >= 200 && httpStatus <= 299) {
    await recordDelivered(db, { ...attempted, error: null });
    return observe.webhookAttempted('delivered');
  }
  if (httpStatus === GONE) {
    await recordGone(db, attempted);
    return observe.webhookAttempted('gone');
  }
  const missed = await recordMissed(db, attempted, (triedForMs) => pauseBeforeRetryMs(triedForMs, random()));
  observe.webhookAttempted(
    missed?.kind === 'givenUp' ? 'given_up' : httpStatus === null ? 'silent' : 'refused',
  );
  if (missed?.kind === 'again') throw notDelivered(error, missed.pauseMs);
}

async function send(
  { sealing, post, log }: DeliveryDeps,
  { url, secrets, messageId, body }: Outgoing,
  nowMs: number,
): ReturnType<PostInTurn> {
  let opened: string[];
  try {
    opened = secrets
      .filter(({ until }) => until === null || Date.parse(until) > nowMs)
      .map(({ sealed }) => {
        if (!sealing) throw new Error('PAYLOAD_KEYS is not set here');
        return sealing.unseal(sealed);
      });
  } catch (err) {
    log.error({ err, messageId }, 'the secret of a webhook endpoint can not be read');
    return { kind: 'failed', code: SECRET_UNREADABLE };
  }
  return post(url, signedHeaders(messageId, body, opened, nowMs), body);
}

export function nextDelivery(
  { db }: Pick<ActivityDeps, 'db'>,
  line: DeliveryLine,
): Promise<{ deliveryId: string } | null> {
  return next(db, line);
}
