import { Problem } from './problem.js';

/** Asks in turn, or refuses at once. @throws Problem 503 while whoever is asked is silent. */
export type AskWhileAnswered = <T>(ask: () => Promise<T>) => Promise<T>;

const TRY_EVERY_MS = 1_000;

/**
 * Where somebody waits and nobody was answered for `silentAfterMs`, those who come next are refused instead of waiting
 * too. One a second is let through; the first answer, to whomever, opens for all.
 */
export function watchForSilence({
  silentAfterMs,
  isAnswer,
}: {
  readonly silentAfterMs: number;
  /** Whether an error came from who was asked, rather than from waiting for it. */
  readonly isAnswer: (error: unknown) => boolean;
}): AskWhileAnswered {
  const waitingSinceMs = new Set<{ readonly ms: number }>();
  let answeredAtMs = -Infinity;
  let askedAtMs = -Infinity;
  let isSilent = false;
  let isWatched = false;

  const noteAnswer = () => {
    answeredAtMs = performance.now();
    isSilent = false;
  };
  const watch = (forMs: number) => {
    isWatched = true;
    // A process that stood still itself reads what came meanwhile before it judges.
    setTimeout(() => setImmediate(judge), forMs).unref();
  };
  const judge = () => {
    isWatched = false;
    const [oldest] = waitingSinceMs;
    if (!oldest) return;
    const leftMs = Math.max(oldest.ms, answeredAtMs) + silentAfterMs - performance.now();
    if (leftMs <= 0) isSilent = true;
    else watch(leftMs);
  };

  return async (ask) => {
    const turn = { ms: performance.now() };
    if (isSilent && turn.ms - askedAtMs < TRY_EVERY_MS) {
      throw new Problem(
        'engine_unavailable',
        'What is behind the door is silent: nothing was done. Repeat it.',
      );
    }
    askedAtMs = turn.ms;
    waitingSinceMs.add(turn);
    if (!isWatched && !isSilent) watch(silentAfterMs);
    try {
      const answer = await ask();
      noteAnswer();
      return answer;
    } catch (error) {
      if (isAnswer(error)) noteAnswer();
      throw error;
    } finally {
      waitingSinceMs.delete(turn);
    }
  };
}
