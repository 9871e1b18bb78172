import type { StandardSchemaV1 } from '@standard-schema/spec';
import { pointerOf } from './json-pointer.js';
import { Problem, type ProblemError } from './problem.js';

const ERRORS_MAX = 50;

/** One error for each thing that the schema objects to; unknown members are named one by one. */
export function invalidRequestFrom(issues: readonly StandardSchemaV1.Issue[]): Problem {
  const errors = issues.flatMap(errorsOf).slice(0, ERRORS_MAX);
  return new Problem('invalid_request', errors[0] ? sentence(errors[0]) : 'The request is not valid.', {
    errors,
  });
}

function errorsOf(issue: StandardSchemaV1.Issue): ProblemError[] {
  const path = (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part));
  // Zod names unknown members beside the path of what holds them.
  if ('keys' in issue && Array.isArray(issue.keys)) {
    return issue.keys.map((key: unknown) => ({
      pointer: pointerOf([...path, String(key)]),
      detail: 'is not known here',
    }));
  }
  return [{ pointer: pointerOf(path), detail: issue.message }];
}

function sentence(error: ProblemError): string {
  return error.pointer === '' ? error.detail : `${error.pointer}: ${error.detail}`;
}
