import type { SimulatedProvider } from '../simulators/book.js';
import type { Fault } from '../simulators/faults.js';
import type { Dice } from './dice.js';
import { QUICK_SETTINGS, WRITTEN_OFF_AFTER_MS } from './site.js';

type Make = (dice: Dice) => Fault;

/** One of the troubles of a call that sends a refund; the simulators refuse what a provider's document rules out. */
export function troubleForSubmit(dice: Dice): Fault {
  return dice.pick(dice.chance(0.8) ? LOST_ANSWERS : dice.chance(0.6) ? FATES : REFUSALS)(dice);
}

export function troubleForRead(dice: Dice): Fault {
  return dice.pick(READS)(dice);
}

export function troubleForToken(dice: Dice): Fault {
  return dice.pick(TOKENS)(dice);
}

/** Those where a token call exists. */
export const WITH_TOKENS: readonly SimulatedProvider[] = ['picpay', 'efi'];

const STATUSES = [408, 429, 500, 502, 503] as const;
const TIMEOUT_MS = Number(QUICK_SETTINGS.PROVIDER_TIMEOUT_MS);

const LOST_ANSWERS: readonly [Make, ...Make[]] = [
  () => ({ operation: 'submit', name: 'reset_before_effect' }),
  () => ({ operation: 'submit', name: 'reset_after_effect' }),
  () => ({ operation: 'submit', name: 'timeout_before_effect' }),
  () => ({ operation: 'submit', name: 'timeout_after_effect' }),
  (dice) => ({
    operation: 'submit',
    name: 'status_before_effect',
    status: dice.pick(STATUSES),
    retryAfter: 1,
  }),
  (dice) => ({ operation: 'submit', name: 'status_after_effect', status: dice.pick(STATUSES) }),
  () => ({ operation: 'submit', name: 'cut_body' }),
  (dice) => ({ operation: 'submit', name: 'html', status: dice.pick([200, 502]), effect: dice.chance(0.5) }),
  () => ({ operation: 'submit', name: 'unknown_status' }),
  () => ({ operation: 'submit', name: 'token_expired' }),
  () => ({ operation: 'submit', name: 'still_running' }),
  (dice) => ({ operation: 'submit', name: 'slow', ms: dice.between(50, 2 * TIMEOUT_MS) }),
  // Ordinary: it lands before "not there" can be proven.
  (dice) => ({ operation: 'submit', name: 'late_effect', ms: dice.between(100, WRITTEN_OFF_AFTER_MS / 2) }),
  (dice) => ({ operation: 'submit', name: 'down', ms: dice.between(200, 2_000) }),
];

const FATES: readonly [Make, ...Make[]] = [
  (dice) => ({ operation: 'submit', name: 'confirm_delay', ms: dice.between(500, 4_000) }),
  () => ({ operation: 'submit', name: 'no_webhook' }),
  () => ({ operation: 'submit', name: 'never_confirms' }),
  () => ({ operation: 'submit', name: 'reject_later' }),
  () => ({ operation: 'submit', name: 'unclear' }),
  (dice) => ({ operation: 'submit', name: 'taken_back', ms: dice.between(300, 6_000) }),
  (dice) => ({ operation: 'submit', name: 'taken_back', ms: dice.between(300, 6_000) }),
  () => ({ operation: 'submit', name: 'other_amount', amountMinor: 7 }),
  (dice) => ({ operation: 'submit', name: 'vanishes', ms: dice.between(300, 6_000) }),
];

const REFUSALS: readonly [Make, ...Make[]] = [
  (dice) => ({ operation: 'submit', name: 'insufficient_balance', times: dice.between(1, 3) }),
  () => ({ operation: 'submit', name: 'declined' }),
  () => ({ operation: 'submit', name: 'refused_after_effect' }),
  // Later than that: written off, perhaps sent again. A person must hear of it.
  (dice) => ({
    ...{ operation: 'submit', name: 'late_effect' },
    ms: dice.between(WRITTEN_OFF_AFTER_MS + 500, 2 * WRITTEN_OFF_AFTER_MS),
  }),
];

const READS: readonly [Make, ...Make[]] = [
  () => ({ operation: 'read', name: 'reset_before_effect' }),
  () => ({ operation: 'read', name: 'timeout_before_effect' }),
  (dice) => ({
    ...{ operation: 'read', name: 'status_before_effect', retryAfter: 1 },
    status: dice.pick(STATUSES),
  }),
  () => ({ operation: 'read', name: 'cut_body' }),
  (dice) => ({ operation: 'read', name: 'html', status: dice.pick([200, 502]) }),
  () => ({ operation: 'read', name: 'unknown_status' }),
  () => ({ operation: 'read', name: 'token_expired' }),
  () => ({ operation: 'read', name: 'stale_read' }),
  (dice) => ({ operation: 'read', name: 'slow', ms: dice.between(50, 2 * TIMEOUT_MS) }),
  (dice) => ({ operation: 'read', name: 'down', ms: dice.between(200, 2_000) }),
];

const TOKENS: readonly [Make, ...Make[]] = [
  () => ({ operation: 'token', name: 'reset_before_effect' }),
  () => ({ operation: 'token', name: 'timeout_after_effect' }),
  (dice) => ({ operation: 'token', name: 'status_before_effect', status: dice.pick(STATUSES) }),
  () => ({ operation: 'token', name: 'cut_body' }),
  () => ({ operation: 'token', name: 'html', status: 502 }),
];
