import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

describe('a refund whose run was reset goes on from the ledger', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ CONFIRM_POLL_MS: '200' });
  }, 60_000);
  afterAll(async () => {
    await service.close();
  }, 60_000);

  it('never sends again what was accepted', async () => {
    const payment = await registerPayment(service, 'efi', 2_000);
    await service.simulators.inject('efi', { operation: 'submit', name: 'never_confirms' });
    const id = await askFor(payment.id, 'reset-accepted');
    await refundWhen(service, id, ({ pending_reason }) => pending_reason === 'provider_processing');
    await untilShown('efi', payment.providerPaymentId);
    await resetToStart(id);

    const [shown] = service.simulators.refundsOf('efi', payment.providerPaymentId);
    service.simulators.setRefundStatus('efi', payment.providerPaymentId, shown!.id, 'succeeded');
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(service.simulators.refundsOf('efi', payment.providerPaymentId)).toHaveLength(1);
  }, 30_000);

  it('sends what was never sent', async () => {
    const payment = await registerPayment(service, 'pagou', 2_000);
    await service.simulators.inject('pagou', {
      operation: 'read',
      name: 'status_before_effect',
      status: 503,
      times: 500,
    });
    const id = await askFor(payment.id, 'reset-unsent');
    await refundWhen(service, id, ({ pending_reason }) => pending_reason === 'provider_unavailable');
    await resetToStart(id);
    await service.simulators.clearFaults('pagou');
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(service.simulators.refundsOf('pagou', payment.providerPaymentId)).toHaveLength(1);
  }, 30_000);

  it('is taken up when the client repeats its key after the run was terminated', async () => {
    const payment = await registerPayment(service, 'braspag', 2_000);
    await service.simulators.inject('braspag', { operation: 'submit', name: 'never_confirms' });
    const id = await askFor(payment.id, 'terminated');
    await untilShown('braspag', payment.providerPaymentId);
    await refundWhen(service, id, ({ pending_reason }) => pending_reason === 'provider_processing');
    await service.client.workflow.getHandle(`refund/${id}`).terminate('a test');

    expect(await askFor(payment.id, 'terminated')).toBe(id);
    const [shown] = service.simulators.refundsOf('braspag', payment.providerPaymentId);
    service.simulators.setRefundStatus('braspag', payment.providerPaymentId, shown!.id, 'succeeded');
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(service.simulators.refundsOf('braspag', payment.providerPaymentId)).toHaveLength(1);
  }, 30_000);

  async function askFor(paymentId: string, idempotencyKey: string): Promise<string> {
    const { status, body } = await service.call('POST', '/v1/refunds', {
      idempotencyKey,
      body: { payment_id: paymentId, amount: 700, reason: 'duplicate' },
    });
    expect(status).toBe(202);
    return body.id;
  }

  async function untilShown(provider: 'efi' | 'braspag', providerPaymentId: string): Promise<void> {
    while (service.simulators.refundsOf(provider, providerPaymentId).length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** As `temporal workflow reset` does: to the first workflow task, so that the new run begins before admission. */
  async function resetToStart(refundId: string): Promise<void> {
    const workflowId = `refund/${refundId}`;
    const handle = service.client.workflow.getHandle(workflowId);
    const { runId } = await handle.describe();
    const { events } = await handle.fetchHistory();
    const firstTask = events?.find((event) => event.workflowTaskCompletedEventAttributes);
    await service.client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId, runId },
      workflowTaskFinishEventId: firstTask!.eventId!,
      requestId: `reset-${refundId}`,
      reason: 'a test',
    });
  }
});
