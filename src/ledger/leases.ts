import type { Database } from './database.js';

/**
 * Takes or renews work that one process at a time does for all. It is over by itself after `forMs`, so that a dead
 * holder is followed by another. What is done under it must be safe to do twice: clocks differ.
 */
export async function holdLease(
  db: Database,
  lease: { readonly name: string; readonly holder: string; readonly forMs: number; readonly nowMs: number },
): Promise<boolean> {
  const { name, holder } = lease;
  const until = new Date(lease.nowMs + lease.forMs);
  const held = await db
    .insertInto('leases')
    .values({ name, holder, until })
    .onConflict((conflict) =>
      conflict
        .column('name')
        .doUpdateSet({ holder, until })
        .where((where) =>
          where.or([
            where('leases.holder', '=', holder),
            where('leases.until', '<', new Date(lease.nowMs)),
            // Nobody holds it for so long: a clock was wrong.
            where('leases.until', '>', new Date(lease.nowMs + 2 * lease.forMs)),
          ]),
        ),
    )
    .returning('name')
    .executeTakeFirst();
  return held !== undefined;
}
