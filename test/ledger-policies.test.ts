import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { Policy } from '../src/domain/policy.js';
import { createPolicyShelf, type PolicyShelf } from '../src/ledger/policies.js';
import { readPolicy } from '../src/policy.js';
import { openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

const shipped = readPolicy('config/policy.json');
const earlier: Policy = { ...shipped, version: 'earlier', insufficientBalanceWaitMs: 1 };

let ledger: LedgerScene;
let warned: unknown[];
beforeEach(async () => {
  ledger = await openLedger();
  warned = [];
});
afterEach(() => ledger.close());

/** As each process has one. */
const shelfOf = (policy: Policy, nowMs = START_MS): PolicyShelf =>
  createPolicyShelf(ledger.db, policy, {
    nowMs: () => nowMs,
    log: { warn: (fields) => void warned.push(fields) },
  });
const kept = () => ledger.db.selectFrom('policies').select(['version', 'first_used_at']).execute();

it('gives a refund the policy that it was admitted under, whatever the file says by then', async () => {
  await shelfOf(earlier).keep();
  const shelf = shelfOf(shipped);
  expect(await shelf.of('earlier')).toEqual(earlier);
  expect(await shelf.of(shipped.version)).toBe(shipped);
  expect(warned).toEqual([]);
});

it('keeps a policy once, from its first use on, however many processes keep it at once', async () => {
  const shelf = shelfOf(shipped);
  await shelf.keep();
  await Promise.all([shelf.keep(), ...[1, 2, 3].map((ms) => shelfOf(shipped, START_MS + ms).keep())]);
  expect(await kept()).toEqual([{ version: shipped.version, first_used_at: new Date(START_MS) }]);
});

it('asks the database once for what it has kept or found', async () => {
  await shelfOf(earlier).keep();
  const shelf = shelfOf(shipped);
  await shelf.keep();
  await shelf.of('earlier');
  await ledger.db.schema.dropTable('policies').execute();
  await shelf.keep();
  expect(await shelf.of('earlier')).toEqual(earlier);
});

it('keeps after all what could not be kept at first', async () => {
  const shelf = shelfOf(shipped);
  await ledger.db.schema.alterTable('policies').renameTo('away').execute();
  await expect(shelf.keep()).rejects.toThrow('policies');
  await ledger.db.schema.alterTable('away').renameTo('policies').execute();
  await shelf.keep();
  expect(await kept()).toHaveLength(1);
});

it('lets the current policy stand in for one that nobody kept, and says so once', async () => {
  const shelf = shelfOf(shipped);
  expect([await shelf.of('unkept'), await shelf.of('unkept')]).toEqual([shipped, shipped]);
  expect(warned).toEqual([{ version: 'unkept', instead: shipped.version }]);
});
