const FIRST_PAUSE_MS = 40;
const PAUSE_MS_MAX = 250;

/**
 * Reads until it holds: soon at first, then ever more rarely, since reading takes the processor from what is waited for.
 * @throws Error with what was read last when it takes too long.
 */
export async function eventually<T>(
  read: () => Promise<T>,
  holds: (seen: T) => boolean,
  withinMs = 20_000,
): Promise<T> {
  const lastMs = Date.now() + withinMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.5, PAUSE_MS_MAX)) {
    const seen = await read();
    if (holds(seen)) return seen;
    if (Date.now() > lastMs) {
      throw new Error(`still ${JSON.stringify(seen)}: ${String(read)}, ${String(holds)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** @throws Error when it takes too long. */
export async function until(holds: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  await eventually(holds, Boolean, withinMs);
}
