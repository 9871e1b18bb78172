import type { Client, Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../ledger/database.js';
import { registerSearchAttributes } from '../temporal.js';
import { resumeOrphans } from './orphans.js';
import type { UpkeepTask } from './upkeep.js';

const SWEEP_EVERY_MS = 60_000;
const SWEEP_WITHIN_MS = 50_000;

/** Everything that workers do beside refunds. */
export function upkeepTasks(
  db: Database,
  connection: Connection,
  client: Client,
  log: Logger,
): readonly UpkeepTask[] {
  return [
    {
      name: 'orphans',
      everyMs: SWEEP_EVERY_MS,
      run: async () => {
        // A server whose database was lost knows neither our attributes nor any run.
        const resumed = await connection.withDeadline(Date.now() + SWEEP_WITHIN_MS, async () => {
          await registerSearchAttributes(connection, client.options.namespace);
          return resumeOrphans(db, client);
        });
        if (resumed.length > 0) {
          log.warn(
            { count: resumed.length, refundIds: resumed.slice(0, 20) },
            'open refunds without a running workflow were taken up again',
          );
        }
      },
    },
  ];
}
