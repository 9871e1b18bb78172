import { mkdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { SimulatedProvider } from '../../simulators/book.js';
import type { Fault } from '../../simulators/faults.js';
import { refundIdOfKey } from '../../src/signing/refund-id.js';
import { refundWorkflowId } from '../../workflows/messages.js';
import startRealParts from './global-setup.js';
import stopRealParts from './global-teardown.js';
import { registerPayment, startService, type Service } from './service.js';

/*
 * Records the histories that test/replay.test.ts replays, by running the real service:
 *
 *   node --import ./test/setup/typescript.mjs test/setup/record-histories.ts
 *
 * Recorded anew only when runs of the older code are over everywhere: until then these stand for them.
 */

const ROOT = join(import.meta.dirname, '..', '..');
const HISTORIES = join(ROOT, 'test', 'histories');
const ACTOR = 'rita';
const AMOUNT_MINOR = 4_200;

interface Recording {
  readonly provider: SimulatedProvider;
  readonly fault?: Fault;
  /** Absent: all that was paid. */
  readonly amountMinor?: number;
  /** Asked for together on one payment; the last one's history is kept. */
  readonly together?: number;
}

const RECORDINGS: Readonly<Record<string, Recording>> = {
  'done-with-the-answer': { provider: 'picpay' },
  'confirmed-after-a-webhook': { provider: 'efi' },
  'refused-at-the-door': { provider: 'pagou', amountMinor: AMOUNT_MINOR + 1 },
  'lost-answer-adopted': {
    provider: 'braspag',
    fault: { operation: 'submit', name: 'reset_after_effect' },
  },
  'lost-call-sent-again': {
    provider: 'braspag',
    fault: { operation: 'submit', name: 'reset_before_effect' },
  },
  'lost-answer-repeated-under-its-key': {
    provider: 'picpay',
    fault: { operation: 'submit', name: 'status_after_effect', status: 500 },
  },
  declined: { provider: 'braspag', fault: { operation: 'submit', name: 'declined' } },
  'provider-down-for-a-while': { provider: 'pagou', fault: { operation: 'submit', name: 'down', ms: 1_500 } },
  'waited-for-balance': { provider: 'efi', fault: { operation: 'submit', name: 'insufficient_balance' } },
  'queued-behind-another': { provider: 'efi', amountMinor: 1_000, together: 2 },
};

async function record(): Promise<void> {
  await startRealParts({ rootDir: ROOT });
  const service = await startService();
  try {
    await mkdir(HISTORIES, { recursive: true });
    for (const [name, recording] of Object.entries(RECORDINGS)) {
      const json = await historyOf(service, name, recording);
      await writeFile(join(HISTORIES, `${name}.json`), json);
      console.log(`${name}: ${json.match(/"eventId"/g)?.length} events`);
    }
  } finally {
    await service.close();
    await stopRealParts();
  }
}

async function historyOf(service: Service, name: string, recording: Recording): Promise<string> {
  const { provider, fault, amountMinor = AMOUNT_MINOR, together = 1 } = recording;
  const payment = await registerPayment(service, provider, AMOUNT_MINOR);
  if (fault) await service.simulators.inject(provider, fault);
  const keys = Array.from({ length: together }, (_, index) => `${name}-${index}`);
  for (const idempotencyKey of keys) {
    await service.call('POST', '/v1/refunds', {
      actor: ACTOR,
      idempotencyKey,
      body: { payment_id: payment.id, amount: amountMinor, reason: 'requested_by_customer' },
    });
  }
  const refundId = refundIdOfKey(ACTOR, keys.at(-1) ?? '');
  const handle = service.client.workflow.getHandle(refundWorkflowId(refundId));
  await handle.result();
  return withoutOrigin(historyToJSON(await handle.fetchHistory()));
}

/** Worker and queue names hold the process and the machine that it was recorded on. */
function withoutOrigin(json: string): string {
  const history: unknown = JSON.parse(json.replaceAll(`${process.pid}@${hostname()}`, 'recorder'));
  return `${JSON.stringify(history, null, 2)}\n`;
}

await record();
