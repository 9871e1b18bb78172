import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { fastify } from 'fastify';
import { setting } from '../setting.js';
import { bareLocalSaga, bareSaga, confirmed } from './workflows.js';

const connection = await Connection.connect({ address: setting('TEMPORAL_ADDRESS') });
const { workflow } = new Client({ connection });
const saga = setting('BARE_KIND') === 'local' ? bareLocalSaga : bareSaga;
const app = fastify();

app.get('/health', () => ({ status: 'ok' }));

app.post<{ Body: { payment_id: string; amount: number; refund_id?: string } }>(
  '/refunds',
  {
    schema: {
      body: {
        type: 'object',
        required: ['payment_id', 'amount'],
        properties: {
          payment_id: { type: 'string' },
          amount: { type: 'integer', minimum: 1 },
          refund_id: { type: 'string' },
        },
      },
    },
  },
  async ({ body: { payment_id: paymentId, amount: amountMinor, refund_id: id = randomUUID() } }, reply) => {
    await workflow.start(saga, {
      workflowId: workflowIdOf(paymentId),
      taskQueue: 'bare',
      args: [{ id, paymentId, amountMinor, askedAtMs: Date.now() }],
    });
    return reply.code(202).send({ id });
  },
);

app.post<{ Body: { data: { id: string } } }>('/webhook', async ({ body }, reply) => {
  await workflow.getHandle(workflowIdOf(body.data.id)).signal(confirmed);
  return reply.code(204).send();
});

await app.listen({ host: '127.0.0.1', port: Number(setting('PORT')) });

function workflowIdOf(paymentId: string): string {
  return `bare/${paymentId}`;
}
