/** What is configured for one provider, and the same in every schedule. */
export const SECOND_MS = 1_000;
export const QUIET_MS = 60 * SECOND_MS;
export const PROVIDER_TIMEOUT_MS = 10 * SECOND_MS;
export const SEND_WITHIN_MS = 2 * SECOND_MS;
/** Two workers' clocks, or one's before and after a jump, are at most twice this apart. */
export const SKEW_MS = 2 * SECOND_MS;
