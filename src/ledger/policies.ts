import type { Policy } from '../domain/policy.js';
import type { Database } from './database.js';

/** The policies that refunds were admitted under: each goes on under its own, whatever the file says by then. */
export interface PolicyShelf {
  /** Under which this process admits. */
  readonly current: Policy;
  /** Keeps the current one for good; before the first refund under it is admitted. */
  keep(): Promise<void>;
  /** A version that nobody kept is told to the log, and the current policy stands in for it. */
  of(version: string): Promise<Policy>;
}

export function createPolicyShelf(
  db: Database,
  current: Policy,
  {
    nowMs,
    log,
  }: {
    readonly nowMs: () => number;
    readonly log: { warn(fields: Record<string, unknown>, message: string): void };
  },
): PolicyShelf {
  const known = new Map([[current.version, current]]);
  let isKept = false;
  return {
    current,
    keep: async () => {
      if (isKept) return;
      await keepPolicy(db, current, nowMs());
      isKept = true;
    },
    of: async (version) => {
      const policy = known.get(version) ?? (await findPolicy(db, version));
      if (!policy) {
        log.warn(
          { version, instead: current.version },
          'a refund was admitted under a policy that nobody kept',
        );
      }
      known.set(version, policy ?? current);
      return policy ?? current;
    },
  };
}

async function keepPolicy(db: Database, policy: Policy, nowMs: number): Promise<void> {
  await db
    .insertInto('policies')
    .values({ version: policy.version, content: JSON.stringify(policy), first_used_at: new Date(nowMs) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

async function findPolicy(db: Database, version: string): Promise<Policy | null> {
  const kept = await db
    .selectFrom('policies')
    .select('content')
    .where('version', '=', version)
    .executeTakeFirst();
  return kept?.content ?? null;
}
