import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { SimulatedProvider } from '../../simulators/book.js';
import type { Fault } from '../../simulators/faults.js';
import { refundIdOfKey } from '../../src/signing/refund-id.js';
import { refundWorkflowId } from '../../workflows/messages.js';
import { APPROVAL_RECORDINGS, type Recording } from './approval-recordings.js';
import { DELIVERY_RECORDINGS, type History } from './delivery-recordings.js';
import startRealParts from './global-setup.js';
import stopRealParts from './global-teardown.js';
import { registerPayment, startService, type Service } from './service.js';

/*
 * Records histories that test/replay.test.ts replays, by running the real service: those that are named, or all that
 * do not exist yet.
 *
 *   node --import ./test/setup/typescript.mjs test/setup/record-histories.ts [NAME…]
 *
 * One that exists stands for runs of the code that it was recorded under, and is never written over: what newer code
 * does otherwise is recorded under another name.
 */

const ROOT = join(import.meta.dirname, '..', '..');
const HISTORIES = join(ROOT, 'test', 'histories');
const ACTOR = 'rita';
const AMOUNT_MINOR = 4_200;

const RECORDINGS: Readonly<Record<string, Recording>> = {
  'done-with-the-answer': asked({ provider: 'picpay' }),
  'confirmed-after-a-webhook': asked({ provider: 'efi' }),
  'settled-within-the-task': asked({
    provider: 'pagou',
    fault: { operation: 'submit', name: 'confirm_delay', ms: 180 },
  }),
  'refused-at-the-door': asked({ provider: 'pagou', amountMinor: AMOUNT_MINOR + 1 }),
  'lost-answer-adopted': asked({
    provider: 'braspag',
    fault: { operation: 'submit', name: 'reset_after_effect' },
  }),
  'lost-call-sent-again': asked({
    provider: 'braspag',
    fault: { operation: 'submit', name: 'reset_before_effect' },
  }),
  'lost-answer-repeated-under-its-key': asked({
    provider: 'picpay',
    fault: { operation: 'submit', name: 'status_after_effect', status: 500 },
  }),
  declined: asked({ provider: 'braspag', fault: { operation: 'submit', name: 'declined' } }),
  'provider-down-for-a-while': asked({
    provider: 'pagou',
    fault: { operation: 'submit', name: 'down', ms: 1_500 },
  }),
  'waited-for-balance': asked({
    provider: 'efi',
    fault: { operation: 'submit', name: 'insufficient_balance' },
  }),
  'queued-behind-another': asked({ provider: 'efi', amountMinor: 1_000, together: 2 }),
  ...APPROVAL_RECORDINGS,
};

async function record(asked: readonly string[]): Promise<void> {
  const known = [...Object.keys(RECORDINGS), ...Object.keys(DELIVERY_RECORDINGS)];
  const names = asked.length > 0 ? asked : known.filter((name) => !existsSync(fileOf(name)));
  const wrong = names.filter((name) => !known.includes(name) || existsSync(fileOf(name)));
  if (wrong.length > 0) throw new Error(`unknown, or recorded already: ${wrong.join(', ')}`);
  await startRealParts({ rootDir: ROOT });
  // Plain: a history must stay readable for longer than a key.
  const service = await startService({ PAYLOAD_KEYS: '' });
  try {
    for (const name of names) {
      const ofDelivery = DELIVERY_RECORDINGS[name];
      await keep(name, ofDelivery ? await ofDelivery() : await historyOf(service, name));
    }
  } finally {
    await service.close();
    await stopRealParts();
  }
}

async function keep(name: string, history: History): Promise<void> {
  const json = withoutOrigin(historyToJSON(history));
  await writeFile(fileOf(name), json, { flag: 'wx' });
  console.log(`${name}: ${json.match(/"eventId"/g)?.length} events`);
}

function fileOf(name: string): string {
  return join(HISTORIES, `${name}.json`);
}

/** Of its newest run, once that has ended. */
async function historyOf(service: Service, name: string): Promise<History> {
  const refundId = await RECORDINGS[name]!(service, name);
  const handle = service.client.workflow.getHandle(refundWorkflowId(refundId));
  await handle.result();
  return handle.fetchHistory();
}

/** Worker and queue names hold the process and the machine that it was recorded on. */
function withoutOrigin(json: string): string {
  const history: unknown = JSON.parse(json.replaceAll(`${process.pid}@${hostname()}`, 'recorder'));
  return `${JSON.stringify(history, null, 2)}\n`;
}

/** Asked for, and left to itself. */
function asked({
  provider,
  fault,
  amountMinor = AMOUNT_MINOR,
  together = 1,
}: {
  readonly provider: SimulatedProvider;
  readonly fault?: Fault;
  /** Absent: all that was paid. */
  readonly amountMinor?: number;
  /** Asked for together on one payment; the last one's history is kept. */
  readonly together?: number;
}): Recording {
  return async (service, name) => {
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
    return refundIdOfKey(ACTOR, keys.at(-1) ?? '');
  };
}

await record(process.argv.slice(2));
