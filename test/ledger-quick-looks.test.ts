import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { ActivityDeps } from '../activities/deps.js';
import { confirm } from '../activities/look.activity.js';
import type { RefundProvider } from '../src/domain/provider.js';
import { takeLane } from '../src/ledger/lanes.js';
import { until } from './setup/eventually.js';
import { accepted, CAPABILITIES, openLedger, QUIET_MS, START_MS, TIMEOUT_MS } from './setup/ledger-scene.js';
import type { LedgerScene } from './setup/ledger-scene.js';

/** Of 40 workflow tasks at once, which is what a worker has. */
const AT_ONCE = 20;

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterAll(() => ledger.close());

it('a provider that is slow to show keeps half of the workflow tasks waiting, and the rest go on without it', async () => {
  const refundId = await ledger.refund(await ledger.payment());
  await takeLane(ledger.db, refundId, START_MS);
  await ledger.claim(refundId, 1);
  await ledger.answer(refundId, 1, accepted());
  let reads = 0;
  let show = (): void => undefined;
  const shown = new Promise<void>((resolve) => (show = resolve));
  const deps = depsWith(async () => {
    reads += 1;
    await shown;
    return { kind: 'notFound', detail: 'not there' };
  });
  const look = () => confirm(deps, { refundId, source: 'webhook' });

  const slow = Array.from({ length: AT_ONCE }, look);
  await until(async () => reads === AT_ONCE);
  expect(await look()).toEqual({ kind: 'unavailable', retryAfterMs: null });
  expect(reads).toBe(AT_ONCE);
  show();
  await Promise.all(slow);
  await look();
  expect(reads).toBe(AT_ONCE + 1);
});

function depsWith(readPayment: RefundProvider['readPayment']): ActivityDeps {
  const ignore = (): void => undefined;
  const provider = { name: 'efi', capabilities: CAPABILITIES, readPayment } as unknown as RefundProvider;
  return {
    db: ledger.db,
    providers: new Map([['efi', { definition: { capabilities: CAPABILITIES }, provider }]]),
    timings: { providerTimeoutMs: TIMEOUT_MS, providerQuietMs: QUIET_MS, retryMaxMs: 60_000 },
    nowMs: () => START_MS,
    log: { warn: ignore, error: ignore },
    observe: { attemptAnswered: ignore, providerRead: ignore, orphansResumed: ignore },
  } as unknown as ActivityDeps;
}
