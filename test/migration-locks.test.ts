import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { sql } from 'kysely';
import { lockRefund } from '../src/ledger/refunds.js';
import { eventually } from './setup/eventually.js';
import { openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

const MIGRATION = new URL('../migrations/0007-scale.sql', import.meta.url);

let ledger: LedgerScene;
let up: string;
beforeAll(async () => {
  ledger = await openLedger();
  const [upward = '', downward = ''] = (await readFile(MIGRATION, 'utf8')).split('-- Down Migration');
  up = upward;
  await run(downward);
});
afterAll(() => ledger.close());

describe('a migration of tables in use', () => {
  it('lets whoever is half-way with a refund come to its end, and then goes on', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    const { migrated } = await ledger.db.transaction().execute(async (trx) => {
      await lockRefund(trx, refundId);
      const at = new Date(START_MS);
      await trx.updateTable('refunds').set({ last_looked_at: at }).where('id', '=', refundId).execute();
      const migrating = run(up).then(
        () => 'done',
        (error: unknown) => error,
      );
      await eventually(waitingForLocks, (count) => count === 1, 5_000);
      await trx.updateTable('payments').set({ external_read_at: at }).where('id', '=', paymentId).execute();
      return { migrated: migrating };
    });
    expect(await migrated).toBe('done');
  });
});

function run(statements: string): Promise<unknown> {
  return ledger.db.transaction().execute((trx) => sql.raw(statements).execute(trx));
}

async function waitingForLocks(): Promise<number> {
  const { rows } = await sql`SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(ledger.db);
  return rows.length;
}
