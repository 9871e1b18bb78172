import { setTimeout as pause } from 'node:timers/promises';

const PAUSE_MS = 250;

/** Tries until it works. @throws the last error once `withinMs` have passed. */
export async function retried<T>(work: () => Promise<T>, withinMs: number): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await pause(PAUSE_MS);
    }
  }
}
