import type { Contender } from './contender.js';
import { aligned } from './figures.js';
import { saturate } from './load.js';

export interface Crew {
  readonly workers: number;
  readonly start: () => Promise<Contender>;
}

/** How much more several workers take. @returns lines for people. */
export async function compareCrews(
  crews: readonly Crew[],
  tellTarget: (url: string) => Promise<void>,
  load: { readonly underWay: number; readonly warmMs: number; readonly measuredMs: number },
  payments: number,
): Promise<readonly string[]> {
  const rows: string[][] = [];
  const alone = new Map<string, number>();
  for (const { workers, start } of crews) {
    const contender = await start();
    try {
      await tellTarget(contender.webhookUrl);
      const { perSecond } = await saturate(contender, await contender.register(payments), load);
      const first = alone.get(contender.name) ?? perSecond;
      alone.set(contender.name, first);
      rows.push([contender.name, String(workers), perSecond.toFixed(1), (perSecond / first).toFixed(2)]);
    } finally {
      await contender.stop();
    }
  }
  return aligned([['', 'workers', 'refunds/s', 'of one'], ['-', '-', '-', '-'], ...rows]);
}
