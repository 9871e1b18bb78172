import { sumMinor } from './money.js';
import { refundableMinor, type Payment } from './payment.js';
import type { PaymentSnapshot, ProviderCapabilities } from './provider.js';
import { ELIGIBILITY_CODES, type EligibilityCode } from './refund.js';
import type { RefundWindow } from './window.js';

export interface EligibilityFacts {
  readonly payment: Payment;
  readonly capabilities: ProviderCapabilities;
  readonly providerEnabled: boolean;
  /** What the provider shows now; null where it could not be read in time. */
  readonly snapshot: PaymentSnapshot | null;
  /** The provider answered that it knows no such payment. */
  readonly unknownAtProvider: boolean;
  readonly window: RefundWindow | null;
  /** Other refunds of ours that hold or moved money of this payment. */
  readonly liveRefunds: number;
  readonly limits: DailyLimits;
  readonly nowMs: number;
}

/** Null: unlimited. */
export interface DailyLimits {
  readonly byActor: DailyLimit | null;
  readonly byProvider: DailyLimit | null;
}

export interface DailyLimit {
  readonly limitMinor: number;
  /** What was asked for today in the payment's currency and not given back. */
  readonly usedMinor: number;
}

export const UNLIMITED: DailyLimits = { byActor: null, byProvider: null };

export interface EligibilityRequest {
  /** Null: all that is refundable. */
  readonly amountMinor: number | null;
  /** Null: the payment's. */
  readonly currency: string | null;
  readonly expectedRefundableMinor: number | null;
}

export type RuleCode = EligibilityCode | 'refundable_amount_mismatch';

export interface RuleResult {
  readonly code: RuleCode;
  readonly passed: boolean;
  readonly detail: string;
  /** The member of the request that it speaks of, as a JSON pointer. */
  readonly pointer: string;
  readonly numbers: Readonly<Record<string, number | string | null>>;
}

export interface BrokenRule {
  readonly code: RuleCode;
  readonly detail: string;
  readonly pointer: string;
}

export interface EligibilityDecision {
  /** Every rule, in the order of ELIGIBILITY_CODES, then the precondition. */
  readonly rules: readonly RuleResult[];
  readonly broken: readonly BrokenRule[];
  /** What would be refunded; meaningful when nothing is broken. */
  readonly amountMinor: number;
  readonly refundableMinor: number;
}

/** Decides every rule at once, so that a caller mends a request in one go. Pure. */
export function decideEligibility(request: EligibilityRequest, facts: EligibilityFacts): EligibilityDecision {
  const available = availableMinor(facts);
  const amountMinor = request.amountMinor ?? available;
  const results: Record<EligibilityCode, Omit<RuleResult, 'code'>> = {
    provider_not_enabled: {
      passed: facts.providerEnabled,
      detail: facts.providerEnabled
        ? 'The provider is on.'
        : `The provider ${facts.payment.provider} is not enabled.`,
      pointer: '',
      numbers: {},
    },
    payment_facts_mismatch: factsRule(facts),
    payment_not_refundable: statusRule(facts),
    refund_window_expired: windowRule(facts),
    partial_not_supported: partialRule(request.amountMinor, facts),
    currency_mismatch: currencyRule(request.currency, facts),
    amount_exceeds_available: amountRule(amountMinor, available, facts),
    limit_exceeded: limitRule(amountMinor, facts.limits),
  };
  const rules: RuleResult[] = ELIGIBILITY_CODES.map((code) => ({ code, ...results[code] }));
  if (request.expectedRefundableMinor !== null) {
    rules.push(preconditionRule(request.expectedRefundableMinor, available));
  }

  const broken = rules.filter((rule) => !rule.passed);
  // A stale precondition speaks only where no other rule is broken.
  const reported =
    broken.length > 1 ? broken.filter((rule) => rule.code !== 'refundable_amount_mismatch') : broken;
  return {
    rules,
    broken: reported.map(({ code, detail, pointer }) => ({ code, detail, pointer })),
    amountMinor,
    refundableMinor: available,
  };
}

/** What may be asked for here: nothing where the provider allows one refund a payment and one is live or done. */
export function availableMinor(
  facts: Pick<EligibilityFacts, 'payment' | 'capabilities' | 'liveRefunds'>,
): number {
  const onlyOne = facts.capabilities.partials === 'one' || facts.capabilities.partials === 'none';
  const taken = facts.liveRefunds > 0 || facts.payment.externalMinor > 0;
  return onlyOne && taken ? 0 : refundableMinor(facts.payment);
}

function factsRule(facts: EligibilityFacts): Omit<RuleResult, 'code'> {
  const { payment, snapshot } = facts;
  const contradictions: string[] = [];
  if (facts.unknownAtProvider) contradictions.push('the provider knows no such payment');
  if (snapshot) {
    if (snapshot.currency !== null && snapshot.currency !== payment.currency) {
      contradictions.push(`the provider shows ${snapshot.currency}, registered is ${payment.currency}`);
    }
    if (
      payment.providerPaymentReference !== null &&
      snapshot.providerPaymentReference !== null &&
      snapshot.providerPaymentReference !== payment.providerPaymentReference
    ) {
      contradictions.push('the provider shows another reference');
    }
    if (snapshot.amountMinor !== null && !amountAgrees(snapshot, payment)) {
      contradictions.push(`the provider shows ${snapshot.amountMinor}, registered is ${payment.amountMinor}`);
    }
  }
  return {
    passed: contradictions.length === 0,
    detail:
      contradictions.length === 0
        ? 'The registered facts agree with the provider.'
        : sentence(contradictions.join('; ')),
    pointer: '',
    numbers: { registered_amount: payment.amountMinor, provider_amount: snapshot?.amountMinor ?? null },
  };
}

/**
 * Where the amount shown may be reduced by refunds, those of ours that are under way may be in it or not yet, and so may
 * those whose status leaves it open.
 */
function amountAgrees(snapshot: PaymentSnapshot, payment: Payment): boolean {
  const { amountMinor } = snapshot;
  if (amountMinor === null || amountMinor === payment.amountMinor) return true;
  if (!snapshot.amountMayBeReduced) return false;
  const moved = snapshot.refunds.filter(({ status }) => status !== 'rejected');
  const shownMinor = sumMinor(moved);
  const openMinor = sumMinor(moved.filter(({ status }) => status === 'unclear' || status === 'unknown'));
  const leastMinor = payment.amountMinor - shownMinor;
  const mostMinor = leastMinor + Math.min(payment.reservedMinor + openMinor, shownMinor);
  return amountMinor >= leastMinor && amountMinor <= mostMinor;
}

function statusRule(facts: EligibilityFacts): Omit<RuleResult, 'code'> {
  const { snapshot, payment } = facts;
  const explainedByUs = payment.refundedMinor + payment.reservedMinor > 0;
  const status = snapshot?.status ?? null;
  // An unlisted word is no refusal: it is read again before anything is sent, and nothing is on such a reading.
  const isOpen = status === null || status === 'unknown' || status === 'refundable';
  const passed = isOpen || (status === 'refunded' && explainedByUs);
  return {
    passed,
    detail: passed
      ? status === 'unknown'
        ? `No document lists the payment's status ${snapshot?.providerStatus}: it is read again before anything is sent.`
        : 'The payment may be refunded.'
      : `The payment's status at the provider is ${snapshot?.providerStatus ?? 'unread'}.`,
    pointer: '',
    numbers: { provider_status: snapshot?.providerStatus ?? null },
  };
}

function windowRule(facts: EligibilityFacts): Omit<RuleResult, 'code'> {
  const { window, nowMs } = facts;
  const passed = window === null || nowMs < window.submitBeforeMs;
  return {
    passed,
    detail:
      window === null
        ? 'No refund window applies.'
        : passed
          ? `Refunds may be started until ${iso(window.submitBeforeMs)}.`
          : `Refunds had to be started before ${iso(window.submitBeforeMs)}; the deadline is ${iso(window.deadlineMs)}.`,
    pointer: '',
    numbers: {
      refund_deadline: window ? iso(window.deadlineMs) : null,
      submit_before: window ? iso(window.submitBeforeMs) : null,
    },
  };
}

/** Asking for all that is left is never a partial refund, even where nothing is left. */
function partialRule(asked: number | null, facts: EligibilityFacts): Omit<RuleResult, 'code'> {
  const passed =
    facts.capabilities.partials !== 'none' || asked === null || asked >= facts.payment.amountMinor;
  return {
    passed,
    detail: passed
      ? 'The amount needs no partial refund that the provider lacks.'
      : 'The provider refunds only whole payments.',
    pointer: '/amount',
    numbers: { amount: asked, payment_amount: facts.payment.amountMinor },
  };
}

function currencyRule(currency: string | null, facts: EligibilityFacts): Omit<RuleResult, 'code'> {
  const asked = currency ?? facts.payment.currency;
  const allowed = facts.capabilities.currencies;
  const samePayment = asked === facts.payment.currency;
  const passed = samePayment && (allowed === null || allowed.includes(asked));
  return {
    passed,
    detail: passed
      ? 'The currency fits.'
      : samePayment
        ? `The provider does not refund in ${asked}.`
        : `The payment is in ${facts.payment.currency}, asked was ${asked}.`,
    pointer: '/currency',
    numbers: { currency: asked },
  };
}

function amountRule(
  amountMinor: number,
  available: number,
  facts: EligibilityFacts,
): Omit<RuleResult, 'code'> {
  const passed = amountMinor > 0 && amountMinor <= available;
  return {
    passed,
    detail: passed
      ? `${amountMinor} of ${available} are asked for.`
      : available === 0
        ? 'Nothing is left to refund.'
        : `${amountMinor} are asked for, ${available} may be refunded.`,
    pointer: '/amount',
    numbers: {
      amount: amountMinor,
      refundable_amount: available,
      amount_refunded: facts.payment.refundedMinor,
      amount_reserved: facts.payment.reservedMinor,
      amount_external: facts.payment.externalMinor,
    },
  };
}

function limitRule(amountMinor: number, { byActor, byProvider }: DailyLimits): Omit<RuleResult, 'code'> {
  const exceeded = [
    ...(isExceeded(byActor, amountMinor) ? [`the requester's ${spent(byActor)}`] : []),
    ...(isExceeded(byProvider, amountMinor) ? [`the provider's ${spent(byProvider)}`] : []),
  ];
  const passed = exceeded.length === 0;
  return {
    passed,
    detail: !passed
      ? sentence(`${amountMinor} are asked for; ${exceeded.join('; ')}`)
      : byActor === null && byProvider === null
        ? 'No daily limit is set.'
        : 'The amount fits into the daily limits.',
    pointer: '/amount',
    numbers: {
      amount: amountMinor,
      daily_by_actor: byActor?.limitMinor ?? null,
      used_by_actor: byActor?.usedMinor ?? null,
      daily_by_provider: byProvider?.limitMinor ?? null,
      used_by_provider: byProvider?.usedMinor ?? null,
    },
  };
}

function isExceeded(limit: DailyLimit | null, amountMinor: number): limit is DailyLimit {
  return limit !== null && limit.usedMinor + amountMinor > limit.limitMinor;
}

function spent({ limitMinor, usedMinor }: DailyLimit): string {
  return `daily limit is ${limitMinor}, of which ${usedMinor} are used today`;
}

function preconditionRule(expectedMinor: number, available: number): RuleResult {
  return {
    code: 'refundable_amount_mismatch',
    passed: expectedMinor === available,
    detail: `${expectedMinor} were expected to be refundable, ${available} are.`,
    pointer: '/expected_refundable_amount',
    numbers: { expected_refundable_amount: expectedMinor, refundable_amount: available },
  };
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1) + '.';
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
