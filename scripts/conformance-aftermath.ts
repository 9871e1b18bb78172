import { join } from 'node:path';
import { runNode } from '../src/embedded/parts.js';
import { readBooks, readTrail } from '../lab/books.js';
import { comparePayment, isDecidable } from '../lab/comparison.js';
import { controlAt } from '../lab/control.js';
import { operatorOf } from '../lab/operator.js';
import { retried } from '../lab/retries.js';
import type { SeatPlace } from '../lab/seats.js';
import type { Site } from '../lab/site.js';
import type { PaymentStory } from '../lab/stories.js';
import { checkTrails } from '../lab/trail.js';

const SETTLED_WITHIN_MS = 60_000;

/** After whatever was sent to it, the service lives, the ledger is whole, and both sides' books agree. */
export async function whatIsWrong(site: Site, place: SeatPlace): Promise<readonly string[]> {
  const wrong: string[] = [...site.deaths];
  const note = (error: unknown): void => void wrong.push((error as Error).message);
  await operatorOf(site).resumeTripped();
  const stories = await settledBooks(site);
  const discrepancies = [
    ...stories.flatMap((story) => comparePayment(story)),
    ...checkTrails(await readTrail(site.databaseUrl)),
  ];
  wrong.push(...discrepancies.map(({ kind, subject, detail }) => `${kind}: ${subject}: ${detail}`));
  const ready = await fetch(`${site.apiOrigins[0]}/health/ready`);
  if (!ready.ok) wrong.push(`The service is not ready: ${await ready.text()}`);
  const script = join(place.builtDir, 'src', 'audit.js');
  await runNode({ name: 'audit', script, args: ['verify'], env: site.settings, ...place }).catch(note);
  return wrong;
}

/** Once nothing is open that could be decided; as they are where that does not come. */
async function settledBooks(site: Site): Promise<readonly PaymentStory[]> {
  const control = controlAt(site.controlOrigin);
  const read = (): Promise<PaymentStory[]> => readBooks(site.databaseUrl, control);
  await retried(async () => {
    const open = (await read()).flatMap((story) =>
      story.refunds.filter((refund) => isDecidable(story, refund)),
    );
    if (open.length > 0) throw new Error(`${open.length} refunds are still open`);
  }, SETTLED_WITHIN_MS).catch(() => undefined);
  return read();
}
