import { ConfigError } from './config.js';
import { PolicyError } from './policy.js';

/** Errors made for people say it all in their message; of any other, which may be a bug, the stack is told. */
export function tellStartupFailure(error: unknown): void {
  console.error(wordsOf(error));
  process.exitCode = 1;
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (isForPeople(error)) return error.message;
  // Not the whole object: other members may repeat a secret, as `input` of a wrong URL does.
  const parts: unknown[] = error instanceof AggregateError ? error.errors : [];
  return [error.stack ?? error.message, ...parts.map(wordsOf)].join('\n');
}

function isForPeople(error: Error): boolean {
  return error.constructor === Error || error instanceof ConfigError || error instanceof PolicyError;
}
