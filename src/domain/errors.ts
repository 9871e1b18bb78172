/** Marks a union as exhausted: a new member that nobody handles fails to compile, and throws where types lied. */
export function assertNever(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`);
}
