import { resumeOrphans } from '../../src/upkeep/orphans.js';
import { refundWorkflowId } from '../../workflows/messages.js';
import { refundWhen, type AnswerBody, type CallOptions, type Service } from './service.js';
import { fastForward, startSkipping } from './skipped-time.js';

/** A run of the service: the id of the refund whose history is kept. */
export type Recording = (service: Service, idempotencyKey: string) => Promise<string>;

/** What may happen to refunds that wait for two people. */
export const APPROVAL_RECORDINGS: Readonly<Record<string, Recording>> = {
  approved: waiting(approve),
  rejected: waiting(async (service, { id }) => {
    await vote(service, id, 'approve', 'bruno');
    await vote(service, id, 'reject', 'carla');
  }),
  expired: waiting(runOutOfTime),
  'clipped-by-the-window': waiting(runOutOfTime, { paidDaysAgo: 85 }),
  'recheck-failed': waiting(async (service, refund) => {
    service.simulators.addPanelRefund(refund.provider, refund.providerPaymentId, AMOUNT_MINOR);
    await approve(service, refund);
  }),
  'canceled-while-approving': waiting(async (service, { id }) => {
    await vote(service, id, 'approve', 'bruno');
    await post(service, `/v1/refunds/${id}/cancel`, OPERATOR);
  }),
  'canceled-while-waiting': waiting(async (service, refund) => {
    await post(service, `/v1/providers/${refund.provider}/pause`, OPERATOR);
    await approve(service, refund);
    await refundWhen(service, refund.id, ({ pending_reason: reason }) => reason === 'provider_unavailable');
    await post(service, `/v1/refunds/${refund.id}/cancel`, OPERATOR);
    await post(service, `/v1/providers/${refund.provider}/resume`, OPERATOR);
  }),
  extended: waiting(async (service, { id, workflowId }) => {
    await vote(service, id, 'approve', 'bruno');
    await extend(service, id, Date.now() + 9 * DAY_MS);
    await fastForward(service.client, workflowId, 8.5 * DAY_MS);
    await vote(service, id, 'approve', 'carla');
  }),
  'carried-on-while-approving': waiting(async (service, { id, workflowId }) => {
    await vote(service, id, 'approve', 'bruno');
    const handle = service.client.workflow.getHandle(workflowId);
    const { runId: full } = await handle.describe();
    for (let endMs = Date.now() + 9 * DAY_MS; (await handle.describe()).runId === full; endMs += 1_000) {
      await extend(service, id, endMs);
    }
    await vote(service, id, 'approve', 'carla');
  }),
  'approved-in-a-second-round': waiting(
    async (service, refund) => {
      const { id, provider } = refund;
      await service.simulators.inject(provider, {
        operation: 'submit',
        name: 'reset_before_effect',
        times: 2,
      });
      await approve(service, refund);
      await refundWhen(service, id, ({ status }) => status === 'review', 30_000);
      const resend = { outcome: 'resend', evidence: 'The provider’s support has seen nothing of it.' };
      await post(service, `/v1/refunds/${id}/resolve`, { ...OPERATOR, body: resend });
      await refundWhen(service, id, ({ status }) => status === 'requires_approval');
      await approve(service, refund);
    },
    { provider: 'pagou' },
  ),
  'reminded-and-escalated': waiting(async (service, refund) => {
    await fastForward(service.client, refund.workflowId, 4.5 * DAY_MS);
    await approve(service, refund);
  }),
  'resumed-while-approving': waiting(async (service, { id, workflowId }) => {
    await vote(service, id, 'approve', 'bruno');
    const handle = service.client.workflow.getHandle(workflowId);
    const { runId: lost } = await handle.describe();
    await handle.terminate('lost');
    while ((await handle.describe()).runId === lost) await resumeOrphans(service.db, service.client);
    await vote(service, id, 'approve', 'carla');
  }),
};

const DAY_MS = 86_400_000;
/** From this amount on the shipped policy wants two approvals within seven days. */
const AMOUNT_MINOR = 1_000_000;
const OPERATOR = { role: 'operator', actor: 'olga' } as const;

interface Waiting {
  readonly id: string;
  readonly workflowId: string;
  readonly provider: 'efi' | 'pagou';
  readonly providerPaymentId: string;
}

/** Asked for by rita, and then what people make of it. */
function waiting(
  play: (service: Service, refund: Waiting) => Promise<void>,
  { provider = 'efi', paidDaysAgo = 0 }: { provider?: 'efi' | 'pagou'; paidDaysAgo?: number } = {},
): Recording {
  return async (service, idempotencyKey) => {
    const { providerPaymentId, currency, paidAt } = service.simulators.createPayment(provider, {
      amountMinor: AMOUNT_MINOR,
      paidAt: new Date(Date.now() - paidDaysAgo * DAY_MS),
    });
    const payment = { provider, provider_payment_id: providerPaymentId };
    const facts = { ...payment, amount: AMOUNT_MINOR, currency, paid_at: paidAt };
    await post(service, '/v1/payments', { body: facts });
    const body = { ...payment, reason: 'requested_by_customer' };
    const { id } = await post(service, '/v1/refunds', { idempotencyKey, body });
    await play(service, { id, workflowId: refundWorkflowId(id), provider, providerPaymentId });
    return id;
  };
}

async function approve(service: Service, { id }: Waiting): Promise<void> {
  await vote(service, id, 'approve', 'bruno');
  await vote(service, id, 'approve', 'carla');
}

async function vote(
  service: Service,
  id: string,
  decision: 'approve' | 'reject',
  actor: string,
): Promise<void> {
  const { body } = await service.call('GET', `/v1/refunds/${id}`);
  const { content_hash: contentHash } = body['approval'] as { content_hash: string };
  await post(service, `/v1/refunds/${id}/${decision}`, {
    role: 'approver',
    actor,
    body: { content_hash: contentHash },
  });
}

async function extend(service: Service, id: string, endMs: number): Promise<void> {
  const body = { expires_at: new Date(endMs).toISOString() };
  await post(service, `/v1/refunds/${id}/extend`, { ...OPERATOR, body });
}

/** @throws where it is refused: what is recorded then is not what its name says. */
async function post(service: Service, path: string, options: CallOptions): Promise<AnswerBody> {
  const { status, body } = await service.call('POST', path, options);
  if (status >= 300) throw new Error(`${path}: ${JSON.stringify(body)}`);
  return body;
}

/** Lets all time pass that it waits for. */
async function runOutOfTime(service: Service, { workflowId }: Waiting): Promise<void> {
  await startSkipping(service.client, workflowId);
}
