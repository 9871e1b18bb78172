/**
 * What a remote step told. Whoever reaches Temporal may answer in its worker's place, with anything: what is no answer of
 * that step counts as none. Whether it is true is for the ledger to say. By hand, since zod would make the workflows'
 * bundle larger by two fifths.
 */
import { FAILURE_REASONS, REFUND_STATUSES } from '../src/domain/refund.js';
import type { LookResult, SubmitResult } from '../src/domain/saga-state.js';
import type {
  ResolutionVerdict,
  ResolveActivityResult,
  SubmitActivityResult,
} from '../activities/interface.js';

type Check = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Check>>;

export function submitTold(told: unknown): SubmitActivityResult | null {
  return hasShape(told, { result: isOneOf(SUBMITS), wakeRefundId: isTextOrNull })
    ? (told as SubmitActivityResult)
    : null;
}

export function lookTold(told: unknown): LookResult | null {
  return isOneOf(LOOKS)(told) ? (told as LookResult) : null;
}

export function resolveTold(told: unknown): ResolveActivityResult | null {
  return hasShape(told, { verdict: isOneOf(VERDICTS), wakeRefundId: isTextOrNull })
    ? (told as ResolveActivityResult)
    : null;
}

/** The standing is no more than a reason to ask the ledger: its version tells whether there is one. */
export function isHandled(told: unknown): boolean {
  return hasShape(told, {
    verdict: isOneOf(MESSAGE_VERDICTS),
    standing: isStanding,
    wakeRefundId: isTextOrNull,
  });
}

/** Of the year 9999. */
const INSTANT_MS_MAX = 253_402_300_799_999;

const isBoolean: Check = (value) => typeof value === 'boolean';
const isNumber: Check = (value) => Number.isFinite(value);
const isNumberOrNull: Check = (value) => value === null || isNumber(value);
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isInstant: Check = (value) => isCount(value) && (value as number) <= INSTANT_MS_MAX;
const isText: Check = (value) => typeof value === 'string' && value !== '';
const isString: Check = (value) => typeof value === 'string';
const isTextOrNull: Check = (value) => value === null || isText(value);
const isIn =
  (words: readonly string[]): Check =>
  (value) =>
    words.includes(value as string);
const isOneOf =
  (shapes: Readonly<Record<string, Shape>>): Check =>
  (value) => {
    const { kind } = (value ?? {}) as { kind?: unknown };
    return typeof kind === 'string' && Object.hasOwn(shapes, kind) && hasShape(value, shapes[kind] ?? {});
  };
const isStanding: Check = (value) => value === null || hasShape(value, { version: isCount });
const isWait: Check = (value) =>
  value === undefined ||
  hasShape(value, {
    state: isIn(['waiting']),
    version: isCount,
    round: isCount,
    required: isCount,
    missing: isCount,
    requestedAtMs: isInstant,
    expiresAtMs: isInstant,
  });

function hasShape(value: unknown, shape: Shape): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(shape).every(([member, check]) => check((value as Record<string, unknown>)[member]));
}

const ATTEMPT = { attempt: isCount };

const SUBMITS: Readonly<Record<SubmitResult['kind'], Shape>> = {
  done: ATTEMPT,
  accepted: ATTEMPT,
  declined: { ...ATTEMPT, resolveFirst: isBoolean },
  notNow: {
    ...ATTEMPT,
    reason: isIn(['insufficient_balance', 'provider_unavailable', 'authorization_required']),
    retryAfterMs: isNumberOrNull,
  },
  unknown: { ...ATTEMPT, firstSentAtMs: isNumber, resendAfterMs: isNumberOrNull },
  ineligible: { ...ATTEMPT, code: isIn(FAILURE_REASONS) },
  notPending: ATTEMPT,
};

const LOOKS: Readonly<Record<LookResult['kind'], Shape>> = {
  landed: {},
  rejected: {},
  processing: {},
  unclear: { providerStatus: isString },
  unknownStatus: { providerStatus: isString },
  absent: { proven: isBoolean, quietUntilMs: isNumber, accepted: isBoolean },
  cannotTell: { why: isText },
  otherAmount: { why: isText },
  unavailable: { retryAfterMs: isNumberOrNull },
  notSent: ATTEMPT,
  awaitsVotes: {},
  awaitsPerson: {},
};

const VERDICTS: Readonly<Record<ResolutionVerdict['kind'], Shape>> = {
  closed: { status: isIn(REFUND_STATUSES) },
  resend: { ...ATTEMPT, approval: isWait },
  contradicted: { why: isText },
  providerUnavailable: { detail: isText },
  notInReview: {},
  ownRefund: {},
  unproven: {},
};

const MESSAGE_VERDICTS: Readonly<Record<string, Shape>> = {
  done: {},
  repeated: {},
  refused: { code: isText, detail: isText },
  unproven: {},
};
