import { readFileSync } from 'node:fs';
import { Duration, IANAZone } from 'luxon';
import { z } from 'zod';
import { AMOUNT_MINOR_MAX } from './domain/money.js';
import type { ApprovalRule, Policy } from './domain/policy.js';
import { REFUND_REASONS } from './domain/refund.js';
import { findUnclearJson } from './domain/unclear-json.js';
import { PROVIDERS } from './providers/registry.js';
import { fingerprintOf } from './signing/fingerprint.js';

/** Its message names the file and every wrong member. */
export class PolicyError extends Error {
  constructor(file: string, problems: readonly string[]) {
    super([`the policy ${file} is wrong:`, ...problems.map((problem) => `  ${problem}`)].join('\n'));
    this.name = 'PolicyError';
  }
}

/**
 * The policy as the company wrote it, with what it left out filled in.
 * @throws PolicyError when the file can't be read, breaks the form, or names a provider that does not exist.
 */
export function readPolicy(file: string): Policy {
  const parsed = PolicyForm.safeParse(readJson(file));
  if (!parsed.success) throw new PolicyError(file, parsed.error.issues.map(describeIssue));
  const form = parsed.data;
  return {
    version: fingerprintOf(form).slice(0, 12),
    approval: {
      rules: form.approval.rules.map(toApprovalRule),
      expiresAfterMs: toMs(form.approval.expires_after),
      remindEveryMs: toMs(form.approval.remind_every),
      escalateAfterMs: toMs(form.approval.escalate_after),
    },
    window: {
      pixDays: form.window.pix_days,
      pixWithdrawalMinutes: form.window.pix_withdrawal_minutes,
      timeZone: form.window.time_zone,
      safetyMinutes: form.window.safety_minutes,
    },
    insufficientBalanceWaitMs: toMs(form.insufficient_balance.wait),
    providerUnavailableWaitMs: toMs(form.provider_unavailable.wait),
    processingReviewAfterMs: toMs(form.provider_processing.review_after),
    outcomeUnknownReviewAfterMs: toMs(form.outcome_unknown.review_after),
    limits: {
      dailyByActorMinor: form.limits.daily_by_actor,
      dailyByProviderMinor: form.limits.daily_by_provider,
    },
  };
}

const DAYS_MAX = 3_650;
const DAY_MS = 86_400_000;
const MINUTES_PER_DAY = 1_440;
const APPROVALS_MAX = 10;

// Years and months have no fixed length in milliseconds, so they are refused rather than guessed.
const duration = z.string().refine((text) => {
  const read = Duration.fromISO(text);
  const hasFixedLength = read.isValid && read.years === 0 && read.months === 0;
  return hasFixedLength && read.toMillis() > 0 && read.toMillis() <= DAYS_MAX * DAY_MS;
}, `must be an ISO 8601 duration above zero and up to ${DAYS_MAX} days, without years and months, like P3D or PT6H`);

/** A reminder is an event in the trail and a step of the workflow: faster ones would leave no time for votes. */
const reminderPace = duration.refine(
  (text) => Duration.fromISO(text).toMillis() >= 1_000,
  'must be a second or more',
);

const amountMinor = z.int().min(1).max(AMOUNT_MINOR_MAX);
const oneOrMore = <T extends z.ZodType>(member: T) => z.array(member).min(1);

const RuleForm = z.strictObject({
  when: z
    .strictObject({
      amount_gte: amountMinor.optional(),
      reason: oneOrMore(z.enum(REFUND_REASONS)).optional(),
      provider: oneOrMore(z.enum(PROVIDERS.map(({ name }) => name))).optional(),
      requester: oneOrMore(z.string().min(1)).optional(),
    })
    .refine((when) => Object.keys(when).length > 0, 'must name a condition'),
  approvals: z.int().min(1).max(APPROVALS_MAX),
});

const PolicyForm = z.strictObject({
  approval: z
    .strictObject({
      rules: z.array(RuleForm).default([]),
      expires_after: duration.default('P7D'),
      remind_every: reminderPace.default('P1D'),
      escalate_after: duration.default('P3D'),
    })
    .prefault({}),
  window: z
    .strictObject({
      pix_days: z.int().min(1).max(DAYS_MAX).default(90),
      pix_withdrawal_minutes: z.int().min(1).max(MINUTES_PER_DAY).default(60),
      time_zone: z
        .string()
        .refine((zone) => IANAZone.isValidZone(zone), 'must be an IANA time zone')
        .default('America/Sao_Paulo'),
      safety_minutes: z.int().min(0).max(MINUTES_PER_DAY).default(10),
    })
    .prefault({}),
  insufficient_balance: z.strictObject({ wait: duration.default('P3D') }).prefault({}),
  provider_unavailable: z.strictObject({ wait: duration.default('P7D') }).prefault({}),
  provider_processing: z.strictObject({ review_after: duration.default('P2D') }).prefault({}),
  outcome_unknown: z.strictObject({ review_after: duration.default('PT6H') }).prefault({}),
  limits: z
    .strictObject({
      daily_by_actor: amountMinor.nullable().default(null),
      daily_by_provider: amountMinor.nullable().default(null),
    })
    .prefault({}),
});

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new PolicyError(file, [
      `it can't be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    ]);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new PolicyError(file, ['it is not JSON']);
  }
  // Of a member that is there twice the last one would win, unseen by whoever reads the first.
  const unclear = findUnclearJson(text);
  if (unclear) {
    throw new PolicyError(file, [describeIssue({ path: [...unclear.path], message: unclear.detail })]);
  }
  return content;
}

function toApprovalRule({ when, approvals }: z.infer<typeof RuleForm>): ApprovalRule {
  return {
    when: {
      ...(when.amount_gte === undefined ? {} : { amountGteMinor: when.amount_gte }),
      ...(when.reason === undefined ? {} : { reasons: when.reason }),
      ...(when.provider === undefined ? {} : { providers: when.provider }),
      ...(when.requester === undefined ? {} : { requesters: when.requester }),
    },
    approvals,
  };
}

function toMs(isoDuration: string): number {
  return Duration.fromISO(isoDuration).toMillis();
}

function describeIssue(issue: Pick<z.core.$ZodIssue, 'path' | 'message'>): string {
  const member = issue.path.map(String).join('.');
  return member === '' ? issue.message : `${member}: ${issue.message}`;
}
