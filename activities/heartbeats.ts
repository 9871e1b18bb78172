import { heartbeat } from '@temporalio/activity';

/** A heartbeat costs no history but counts as an action: only calls that last send any. */
const BEAT_EVERY_MS = 3_000;

/** Tells the engine that this worker lives while `run` waits for a provider, so that a dead one is noticed soon. */
export async function whileBeating<T>(run: () => Promise<T>): Promise<T> {
  const timer = setInterval(() => heartbeat(), BEAT_EVERY_MS);
  try {
    return await run();
  } finally {
    clearInterval(timer);
  }
}
