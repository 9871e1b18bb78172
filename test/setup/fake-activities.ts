import type {
  Handled,
  LedgerActivities,
  MessageActivities,
  ProviderActivities,
  SubmitActivityResult,
} from '../../activities/interface.js';
import type { ApprovalStanding, SagaTerms, SubmitResult } from '../../src/domain/saga-state.js';

export type Activities = LedgerActivities & MessageActivities & ProviderActivities;

/** What one refund's activities answer, and which of them were called. */
interface Play {
  readonly activities: Omit<Activities, 'approvalStanding'>;
  readonly seen: string[];
  readonly held: Held;
  /** What the last message came to, as a ledger would know it. */
  standing: ApprovalStanding | null;
}

/** What these activities wait for before they answer. */
export type Held = Partial<Record<'admit' | 'submit', Promise<void>>>;

export interface FakeActivities {
  readonly ledger: LedgerActivities & MessageActivities;
  readonly provider: ProviderActivities;
  /** Casts a refund: what is not given goes well at once. The list returned fills with the calls, in order. */
  readonly cast: (
    refundId: string,
    terms: Partial<SagaTerms>,
    parts: Partial<Activities>,
    held?: Held,
  ) => readonly string[];
  readonly seenOf: (refundId: string) => readonly string[];
}

const HOUR_MS = 3_600_000;

/** A provider with idempotency keys and no window; no test waits for these times. */
export const TERMS: SagaTerms = {
  provider: 'picpay',
  paymentId: 'pay_1',
  amountMinor: 1050,
  currency: 'BRL',
  needsLane: false,
  idempotentSubmit: false,
  deadlineMs: null,
  submitBeforeMs: null,
  quietMs: 900,
  pollMs: HOUR_MS,
  pollMaxMs: HOUR_MS,
  retryMaxMs: HOUR_MS,
  insufficientBalanceWaitMs: 72 * HOUR_MS,
  providerUnavailableWaitMs: 72 * HOUR_MS,
  processingReviewAfterMs: 720 * HOUR_MS,
  unknownReviewAfterMs: 72 * HOUR_MS,
};

/** Activities for workers that serve many refunds at once, each with its own cast. */
export function fakeActivities(): FakeActivities {
  const plays = new Map<string, Play>();
  const enter = (refundId: string, what: string): Play => {
    const play = plays.get(refundId);
    if (!play) throw new Error(`nobody cast ${refundId}`);
    play.seen.push(what);
    return play;
  };
  const noted = async <Told extends Handled<unknown>>(
    refundId: string,
    told: Promise<Told>,
  ): Promise<Told> => {
    const { standing } = await told;
    const play = plays.get(refundId);
    if (play && standing && standing.version >= (play.standing?.version ?? 0)) play.standing = standing;
    return told;
  };
  return {
    ledger: {
      admit: async (start) => {
        const { activities, held } = enter(start.body.refundId, 'admit');
        await held.admit;
        return activities.admit(start);
      },
      takeLane: (input) => enter(input.refundId, 'takeLane').activities.takeLane(input),
      confirm: (input) => enter(input.refundId, `confirm ${input.source}`).activities.confirm(input),
      settle: (input) => enter(input.refundId, 'settle').activities.settle(input),
      compensate: (input) => enter(input.refundId, `compensate ${input.reason}`).activities.compensate(input),
      review: (input) => enter(input.refundId, 'review').activities.review(input),
      expire: (input) => enter(input.refundId, 'expire').activities.expire(input),
      remind: (input) => enter(input.refundId, `remind ${input.of.kind}`).activities.remind(input),
      approvalStanding: async ({ refundId }) => {
        const standing = plays.get(refundId)?.standing;
        if (!standing) throw new Error(`nobody has told ${refundId} anything`);
        return standing;
      },
      castVote: (input) =>
        noted(
          input.refundId,
          enter(input.refundId, `vote ${input.message.body.decision}`).activities.castVote(input),
        ),
      extendApproval: (input) =>
        noted(input.refundId, enter(input.refundId, 'extend').activities.extendApproval(input)),
      cancelRefund: (input) =>
        noted(input.refundId, enter(input.refundId, 'cancel').activities.cancelRefund(input)),
    },
    provider: {
      submit: async (input) => {
        const { activities, held } = enter(input.refundId, `submit ${input.attempt}`);
        await held.submit;
        return activities.submit(input);
      },
      look: (input) => enter(input.refundId, `look ${input.source}`).activities.look(input),
      watch: (input) => enter(input.refundId, 'watch').activities.watch(input),
      resolve: (input) =>
        enter(input.refundId, `resolve ${input.resolution.outcome}`).activities.resolve(input),
    },
    cast: (refundId, terms, parts, held = {}) => {
      const activities = { ...goingWell(refundId, terms), ...parts };
      const play: Play = { seen: [], activities, held, standing: null };
      plays.set(refundId, play);
      return play.seen;
    },
    seenOf: (refundId) => plays.get(refundId)?.seen ?? [],
  };
}

/** Answers one after another; the last one again and again. */
export function inTurn<T>(...answers: readonly T[]): () => Promise<T> {
  let next = 0;
  return async () => answers[Math.min(next++, answers.length - 1)] as T;
}

export function answered(result: SubmitResult): SubmitActivityResult {
  return { result, wakeRefundId: null };
}

/** What a person's message came to. */
export function said(standing: ApprovalStanding | null): Handled<{ readonly kind: 'done' }> {
  return { verdict: { kind: 'done' }, standing, wakeRefundId: null };
}

function goingWell(refundId: string, terms: Partial<SagaTerms>): Omit<Activities, 'approvalStanding'> {
  return {
    admit: async () => ({
      verdict: { kind: 'admitted', refundId, firstAskId: 'ask_1' },
      terms: { ...TERMS, ...terms },
    }),
    takeLane: async () => ({ kind: 'taken' }),
    submit: async ({ attempt }) => answered({ kind: 'done', attempt }),
    look: async () => ({ kind: 'landed' }),
    watch: async () => ({ kind: 'landed' }),
    confirm: async () => ({ kind: 'closed', status: 'succeeded', wakeRefundId: null }),
    settle: async () => ({ kind: 'closed', status: 'succeeded', wakeRefundId: null }),
    compensate: async () => ({ kind: 'closed', status: 'failed', wakeRefundId: null }),
    review: async () => undefined,
    expire: async () => ({
      standing: { state: 'closed', version: 9, status: 'expired' },
      wakeRefundId: null,
    }),
    remind: async () => undefined,
    castVote: async () => said({ state: 'approved', version: 2 }),
    extendApproval: async () => said(null),
    cancelRefund: async () => said({ state: 'closed', version: 2, status: 'canceled' }),
    resolve: async () => ({ verdict: { kind: 'closed', status: 'succeeded' }, wakeRefundId: null }),
  };
}
