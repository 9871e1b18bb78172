import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import type { SimulatedProvider } from '../../simulators/book.js';
import type { Role } from '../../src/ledger/keys.js';
import { registerPayment, startService, type Answer, type AnswerBody, type Service } from './service.js';

/** A refund that somebody asked for, with what is needed to vote on it. */
export interface Asked {
  readonly id: string;
  readonly idempotencyKey: string;
  readonly provider: SimulatedProvider;
  readonly paymentId: string;
  readonly providerPaymentId: string;
  readonly contentHash: string;
}

export interface Ask {
  readonly provider?: SimulatedProvider;
  readonly amount?: number;
  /** Of the payment; absent: twice the refund's. */
  readonly paid?: number;
  readonly reason?: string;
  readonly actor?: string;
}

export interface TrailEvent {
  readonly type: string;
  readonly actor: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The whole service, which admits under this policy. */
export async function startServiceUnder(
  policy: object,
  dynamicConfig: Readonly<Record<string, string>> = {},
  settings: Readonly<Record<string, string>> = {},
): Promise<Service> {
  const folder = await mkdtemp(join(tmpdir(), 'estorno-policy-'));
  const policyFile = join(folder, 'policy.json');
  await writeFile(policyFile, JSON.stringify(policy));
  try {
    return await startService({ ...settings, POLICY_FILE: policyFile }, dynamicConfig);
  } finally {
    await rm(folder, { recursive: true });
  }
}

let keys = 0;

/** Admitted, on a payment of its own. */
export async function askForRefund(
  service: Service,
  { provider = 'efi', amount = 1_000, paid = 2 * amount, reason = 'duplicate', actor = 'rita' }: Ask = {},
): Promise<Asked> {
  const payment = await registerPayment(service, provider, paid);
  const idempotencyKey = `asked-${(keys += 1)}`;
  const { status, body } = await service.call('POST', '/v1/refunds', {
    idempotencyKey,
    actor,
    body: { payment_id: payment.id, amount, reason },
  });
  expect({ status, body }).toMatchObject({ status: 202 });
  return {
    id: body.id,
    idempotencyKey,
    provider,
    paymentId: payment.id,
    providerPaymentId: payment.providerPaymentId,
    contentHash: contentHashOf(body),
  };
}

export function contentHashOf({ approval }: AnswerBody): string {
  return (approval as { content_hash: string } | null)?.content_hash ?? '';
}

export function vote(
  service: Service,
  { id, contentHash }: Pick<Asked, 'id' | 'contentHash'>,
  actor: string,
  decision: 'approve' | 'reject' = 'approve',
): Promise<Answer> {
  return act(service, id, decision, { actor, role: 'approver', body: { content_hash: contentHash } });
}

export function cancel(service: Service, id: string, role: Role = 'requester'): Promise<Answer> {
  return act(service, id, 'cancel', { actor: 'carla', role });
}

export function extend(service: Service, id: string, expiresAt: string): Promise<Answer> {
  return act(service, id, 'extend', { actor: 'olga', role: 'operator', body: { expires_at: expiresAt } });
}

export function act(
  service: Service,
  id: string,
  action: string,
  as: { readonly actor: string; readonly role: Role; readonly body?: unknown },
): Promise<Answer> {
  return service.call('POST', `/v1/refunds/${id}/${action}`, as);
}

export async function refundOf(service: Service, id: string): Promise<AnswerBody> {
  return (await service.call('GET', `/v1/refunds/${id}`)).body;
}

export async function trailOf(service: Service, id: string): Promise<readonly TrailEvent[]> {
  const { body } = await service.call('GET', `/v1/refunds/${id}/events?limit=100`);
  return body['data'] as readonly TrailEvent[];
}

/** All that a message may change: two of these are equal where nothing has changed. */
export async function standingOf(service: Service, asked: Asked): Promise<object> {
  const { id, paymentId, provider, providerPaymentId } = asked;
  const [refund, payment, attempts] = await Promise.all([
    refundOf(service, id),
    service.call('GET', `/v1/payments/${paymentId}`),
    service.db
      .selectFrom('provider_attempts')
      .select(['number', 'sends', 'conclusion'])
      .where('refund_id', '=', id)
      .execute(),
  ]);
  const atProvider = service.simulators.refundsOf(provider, providerPaymentId);
  return { refund, payment: payment.body, attempts, atProvider };
}
