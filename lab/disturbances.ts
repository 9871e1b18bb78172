import { setTimeout as pause } from 'node:timers/promises';
import type { Dice } from './dice.js';
import type { Site } from './site.js';

export interface Disturbances {
  /** By "kill name" and "freeze name". */
  readonly counts: ReadonlyMap<string, number>;
  /** No more of them from now on; resolves when the last one is over. */
  stop(): Promise<void>;
}

/** Every so often one process is killed with -9, or frozen for a while, and then comes back in its place. */
export function disturb(site: Site, dice: Dice, everyMs: number, say: (line: string) => void): Disturbances {
  const counts = new Map<string, number>();
  const stopping = new AbortController();
  const underWay = new Set<Promise<void>>();

  const strike = async (name: string): Promise<void> => {
    const freezes = dice.chance(0.25);
    const forMs = freezes ? dice.between(500, FROZEN_MS_MAX) : dice.between(0, DEAD_MS_MAX);
    const what = `${freezes ? 'freeze' : 'kill'} ${name}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
    if (freezes) site.freeze(name, FROZEN_MS_MAX);
    else await site.kill(name);
    await pause(forMs);
    if (freezes) site.thaw(name);
    else await site.start(name).catch((error: unknown) => say(`${name} is not back: ${String(error)}`));
  };
  const run = async (): Promise<void> => {
    for (;;) {
      await pause(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      const name = victim(site, dice);
      if (name === null) continue;
      const struck = strike(name).finally(() => underWay.delete(struck));
      underWay.add(struck);
    }
  };
  const running = run();
  return {
    counts,
    stop: async () => {
      stopping.abort();
      await running;
      await Promise.all(underWay);
    },
  };
}

const FROZEN_MS_MAX = 3_000;
const DEAD_MS_MAX = 1_500;
/** What holds most of the moments that matter is hit most often. */
const KINDS = [
  ...['worker', 'worker', 'worker', 'worker', 'api', 'api', 'api'],
  ...['temporal', 'postgres', 'simulators'],
] as [string, ...string[]];

/** Null where none of the chosen kind is up. */
function victim(site: Site, dice: Dice): string | null {
  const kind = dice.pick(KINDS);
  const up = site.names.filter((name) => name.startsWith(kind) && site.isUp(name));
  const [first, ...rest] = up;
  return first === undefined ? null : dice.pick([first, ...rest]);
}
