import { ApplicationFailure, CancelledFailure } from '@temporalio/common';

/** The one table from what went wrong to what the engine does about it. */
type FailureClass =
  /** PostgreSQL is away or refused the transaction: try again, everything here is safe to repeat. */
  | 'LedgerUnavailable'
  /** Nothing is decided yet: the watching activity's way to sleep without history events. */
  | 'NotDecidedYet'
  /** An endpoint did not take its webhook: tried again, the ledger says when. */
  | 'NotDelivered'
  /** A bug or a broken record: tried again with growing pauses, because giving up would lose a refund. */
  | 'Unexpected';

export function notDecidedYet(): ApplicationFailure {
  return retryable('NotDecidedYet', 'nothing is decided yet');
}

/** `code`: an HTTP status, or why there was none. */
export function notDelivered(code: string, nextRetryDelayMs: number): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'NotDelivered' satisfies FailureClass,
    message: `the endpoint did not take it (${code})`,
    nextRetryDelay: nextRetryDelayMs,
    nonRetryable: false,
  });
}

/**
 * Wraps an activity so that only a class and a code cross into history: messages of databases and libraries may hold
 * data that does not belong there. The whole error goes to the log instead.
 */
export function withFailures<Input, Result>(
  name: string,
  activity: (input: Input) => Promise<Result>,
  logError: (error: unknown, activity: string) => void,
): (input: Input) => Promise<Result> {
  return async (input) => {
    try {
      return await activity(input);
    } catch (error) {
      if (error instanceof ApplicationFailure || error instanceof CancelledFailure) throw error;
      logError(error, name);
      const code = codeOf(error);
      throw code === null
        ? retryable('Unexpected', `${name} failed unexpectedly; the worker's log has the error`)
        : retryable('LedgerUnavailable', `the ledger did not answer (${code})`);
    }
  };
}

function retryable(type: FailureClass, message: string): ApplicationFailure {
  return ApplicationFailure.create({ type, message, nonRetryable: false });
}

/** SQLSTATEs and socket codes are short upper-case words; anything else is not a code. */
function codeOf(error: unknown): string | null {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  if (typeof code === 'string' && /^[A-Z0-9_]{3,40}$/.test(code)) return code;
  return error instanceof Error && /timeout|terminat|connect/i.test(error.message) ? 'CONNECTION' : null;
}
