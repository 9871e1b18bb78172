import type { Database, LedgerTransaction } from './database.js';
import { SERVICE_ACTOR } from './refunds.js';

const ACTOR_FORM = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/;
const ACTOR_LENGTH_MAX = 128;

/** 1 to 128 printable ASCII characters, single blanks within, and never what the service calls itself. */
export function isActor(text: string): boolean {
  return (
    text.length <= ACTOR_LENGTH_MAX &&
    ACTOR_FORM.test(text) &&
    text.toLowerCase() !== SERVICE_ACTOR.toLowerCase()
  );
}

/**
 * The one spelling of an actor, this one where nobody had it before. `ana` and `Ana` would be two people who look
 * like one, and one person could vote as both.
 */
export async function settledActor(db: Database | LedgerTransaction, actor: string): Promise<string> {
  const folded = actor.toLowerCase();
  const known = () => db.selectFrom('actors').select('actor').where('folded', '=', folded).executeTakeFirst();
  const before = await known();
  if (before) return before.actor;
  await db
    .insertInto('actors')
    .values({ folded, actor })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return (await known())?.actor ?? actor;
}
