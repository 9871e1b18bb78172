import type { temporal } from '@temporalio/proto';
import { resendDelivery } from '../../src/ledger/deliveries.js';
import { deliveryWorkflowId } from '../../workflows/delivery-messages.js';
import { until } from './eventually.js';
import { openLedger, type LedgerScene } from './ledger-scene.js';
import { openOutboundStage, type OutboundStage } from './outbound-stage.js';

/** Histories of news that leaves, as `record-histories.ts` records them. */
export const DELIVERY_RECORDINGS: Readonly<Record<string, () => Promise<History>>> = {
  'news-delivered': () => recorded(503),
  'news-resent': () =>
    recorded(500, async ({ db }, stage, endpointId) => {
      const waiting = await db
        .selectFrom('webhook_deliveries')
        .select(['id', 'attempts'])
        .where('endpoint_id', '=', endpointId)
        .orderBy('sequence')
        .executeTakeFirstOrThrow();
      await resendDelivery(db, endpointId, waiting.id, Date.now());
      await stage.start(db);
    }),
};

export type History = temporal.api.history.v1.IHistory;
type Meanwhile = (ledger: LedgerScene, stage: OutboundStage, endpointId: string) => Promise<void>;

/** Of a refund's first two versions, where the first attempt fails. @returns its history. */
async function recorded(firstStatus: number, meanwhile?: Meanwhile): Promise<History> {
  const ledger = await openLedger();
  const stage = await openOutboundStage(ledger.db);
  try {
    const { id: endpointId, received } = await stage.endpoint(ledger.db, (_, all) =>
      all.length === 1 ? firstStatus : 204,
    );
    const subject = await ledger.refund(await ledger.payment());
    await stage.start(ledger.db);
    await until(async () => {
      const rows = await ledger.db.selectFrom('webhook_deliveries').select('attempts').execute();
      return rows.some(({ attempts }) => attempts === 1);
    });
    await meanwhile?.(ledger, stage, endpointId);
    await until(() => Promise.resolve(received.length > 1));
    const handle = stage.client.workflow.getHandle(deliveryWorkflowId({ endpointId, subject }));
    await handle.result();
    return await handle.fetchHistory();
  } finally {
    await stage.close();
    await ledger.close();
  }
}
